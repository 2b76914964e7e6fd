"""What a command makes of the ledger's answer."""

from repositories.errors import Conflict
from repositories.money_records import Created, Differs, Posting, Transfer


def created(posting: Posting) -> Transfer:
    """Of a command whose other changes belong to a new transfer: only `Created` lets it go on. Raises `Conflict`."""
    if isinstance(posting, Created):
        return posting.transfer
    raise Conflict(posting.field if isinstance(posting, Differs) else "id")


def credited(posting: Posting) -> Transfer:
    """Of a command that is whole with the transfer: there may be one with this content. Raises `Conflict`."""
    if isinstance(posting, Differs):
        raise Conflict(posting.field)
    return posting.transfer
