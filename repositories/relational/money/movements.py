"""Changes of one ledger account. One conditional UPDATE checks the balance, changes it and locks the row."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, bindparam, case, insert, or_, select, true, union_all, update
from sqlalchemy.dialects.postgresql import insert as upsert

from repositories.errors import Insufficient
from repositories.money_records import PROVIDER
from repositories.relational.money.digests import START
from repositories.relational.runner import AnyRow, Work
from repositories.relational.schema.columns import IDS, TIME, among, chained
from repositories.relational.schema.money_tables import entries, ledger_accounts

_step = bindparam("step", type_=BigInteger())
_held_step = bindparam("held_step", type_=BigInteger())
_at = bindparam("now", type_=TIME)
_account = ledger_accounts.c
_this = update(ledger_accounts).where(
    _account.owner == bindparam("its_owner"), _account.currency == bindparam("its_currency")
)
_OPEN = upsert(ledger_accounts).on_conflict_do_nothing().returning(true())
_MOVE = (
    _this.where(or_(_account.may_overdraw, _account.posted + _step - (_account.held + _held_step) >= 0))
    .values(
        posted=_account.posted + _step,
        held=_account.held + _held_step,
        entries=_account.entries + 1,
        last_at=case((_account.last_at > _at, _account.last_at), else_=_at),
        head=chained(_account.head, bindparam("leg", type_=LargeBinary())),
    )
    .returning(_account.posted, _account.entries, _account.last_at, _account.head)
)
_MOVE_ON = _this.values(last_at=_at)
_SET_ASIDE = _this.where(or_(_account.may_overdraw, _account.posted - _account.held >= _held_step)).values(
    held=_account.held + _held_step
)
# INSERT ... SELECT ... UNION ALL writes both entries in one cached statement; a multi-row VALUES is not cached.
_both = (select(*(bindparam(f"{c.name}_{turn}", type_=c.type) for c in entries.c)) for turn in (0, 1))
_ENTER = insert(entries).from_select([c.name for c in entries.c], union_all(*_both))
LOCK = (
    select(_account.owner)
    .where(_account.currency == bindparam("currency"), among(_account.owner, bindparam("ids", type_=IDS)))
    .order_by(_account.may_overdraw, _account.owner)
    .with_for_update()
)


def lock_order(owner: UUID) -> tuple[bool, UUID]:
    """By id, the payment provider last. Every deposit locks its account, so the lock should be held briefly."""
    return owner == PROVIDER, owner


def one_time(debit: UUID, credit: UUID) -> bool:
    """Whether both entries of a transfer carry the same time. True unless the provider is one side."""
    return PROVIDER not in {debit, credit}


def opened(owner: UUID, currency: str, at: datetime) -> dict[str, Any]:
    """The row of a new account."""
    own = {"owner": owner, "currency": currency, "may_overdraw": owner == PROVIDER, "last_at": at}
    return own | {"posted": 0, "held": 0, "entries": 0, "head": START}


class Leg:
    """One account's side of a transfer: `step` is added to `posted`, `held_step` to `held`."""

    def __init__(self, owner: UUID, step: int, leg: bytes, held_step: int = 0) -> None:
        self.owner = owner
        self.step = step
        self.values = {"its_owner": owner, "step": step, "held_step": held_step, "leg": leg}


class LedgerAccounts:
    """The ledger accounts in one transaction."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def move(self, transfer_id: UUID, currency: str, at: datetime, legs: tuple[Leg, Leg]) -> None:
        """Change both accounts, in `lock_order`, and write their entries.

        Both entries get the same time, not earlier than the last entry of either account. So a balance at a past
        moment includes a transfer on both sides or on neither. The provider's entries keep a time of their own:
        otherwise one clock that runs ahead would move the time of every later deposit.
        """
        first, second = sorted(legs, key=lambda leg: lock_order(leg.owner))
        one = self._move(first, currency, at)
        other = self._move(second, currency, one.last_at if one_time(first.owner, second.owner) else at)
        times = [one.last_at, other.last_at]
        if one_time(first.owner, second.owner) and other.last_at > one.last_at:
            self._work.change(_MOVE_ON, {"its_owner": first.owner, "its_currency": currency, "now": other.last_at})
            times[0] = other.last_at
        row: dict[str, Any] = {}
        for turn, (leg, moved) in enumerate(((first, one), (second, other))):
            entry = {"owner": leg.owner, "currency": currency, "sequence": moved.entries, "transfer_id": transfer_id}
            entry |= {"amount": leg.step, "balance": moved.posted, "at": times[turn], "hash": moved.head}
            row |= {f"{name}_{turn}": value for name, value in entry.items()}
        self._work.change(_ENTER, row)

    def set_aside(self, owner: UUID, currency: str, amount: int, at: datetime) -> None:
        """Add `amount` to `held`; a negative amount frees it. Raises `Insufficient`."""
        values = {"its_owner": owner, "its_currency": currency, "held_step": amount}
        if self._work.change(_SET_ASIDE, values):
            return
        self.open(owner, currency, at)
        if not self._work.change(_SET_ASIDE, values):
            raise self._work.refused(Insufficient(f"{owner} has no {amount} {currency} available"))

    def open(self, owner: UUID, currency: str, at: datetime) -> None:
        self._work.rows(_OPEN, opened(owner, currency, at))

    def _move(self, leg: Leg, currency: str, at: datetime) -> AnyRow:
        values = leg.values | {"its_currency": currency, "now": at}
        rows = self._work.rows(_MOVE, values)
        if not rows:
            self.open(leg.owner, currency, at)
            rows = self._work.rows(_MOVE, values)
        if not rows:
            raise self._work.refused(Insufficient(f"{leg.owner} has no {-leg.step} {currency} available"))
        return rows[0]
