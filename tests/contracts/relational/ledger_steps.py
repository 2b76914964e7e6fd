"""Commands on the ledger for its tests."""

from collections.abc import Callable
from uuid import UUID, uuid4

from repositories.records.money import Created, Posting, Transfer
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import transfer
from tests.contracts.transactions import do_retrying


def pay(store: RelationalStore, debit: UUID, credit: UUID, amount: int) -> Transfer:
    one = transfer(debit, credit, amount)
    return created_transfer(do_retrying(store, lambda unit: unit.ledger.transfer(one)))


def created_transfer(posting: Posting) -> Transfer:
    assert isinstance(posting, Created)
    return posting.transfer


def ending(how: str, hold: Transfer, at: object) -> Callable[[Transaction], Posting]:
    moment = {} if how == "void" else {"at": at}
    return lambda unit: getattr(unit.ledger, how)(uuid4(), hold.id, **moment)
