"""How commands evaluate the ledger's answers."""

from repositories.errors import Conflict
from repositories.records.money import Created, Differs, Posting, Transfer


def created(posting: Posting) -> Transfer:
    """For a command with other changes beside the transfer: raises `Conflict` unless the transfer is `Created`."""
    if isinstance(posting, Created):
        return posting.transfer
    raise Conflict(posting.field if isinstance(posting, Differs) else "id")


def credited(posting: Posting) -> Transfer:
    """For a command that is only the transfer: it may exist already. Raises `Conflict` if its content differs."""
    if isinstance(posting, Differs):
        raise Conflict(posting.field)
    return posting.transfer
