"""Changes of ledger accounts. Both of a transfer are locked, then checked and changed by one conditional UPDATE.

The transfer's INSERT, which does nothing if the id exists, is sent together with the UPDATE. So the UPDATE requires the
row with the new digest. No older row has that digest, since it covers a time later than the last entries of both
accounts. For a hold or its release, which have no entries, the UPDATE also requires the number in the chain of holds.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import BigInteger, LargeBinary, bindparam, exists, insert, or_, select, union_all, update
from sqlalchemy.types import TypeEngine

from repositories.errors import Inconsistent, Insufficient, Invalid
from repositories.records.money import PROVIDER, UNWRITTEN, Transfer
from repositories.relational.money.digests import START
from repositories.relational.schema.columns import ID, IDS, TIME
from repositories.relational.schema.functions import among, chained, database_time
from repositories.relational.schema.money_tables import entries, ledger_accounts, transfers
from repositories.relational.upserts import insert as upsert
from repositories.relational.work import Work

_MICROSECOND = timedelta(microseconds=1)
_LARGEST = 2**63 - 1

_held_step = bindparam("held_step", type_=BigInteger())
_account = ledger_accounts.c
OPEN = upsert(ledger_accounts).on_conflict_do_nothing()
_written = (
    transfers.c.id == bindparam("its_transfer", type_=ID),
    transfers.c.digest == bindparam("digest", type_=LargeBinary()),
)
_IS_WRITTEN = select(transfers.c.id).where(*_written)
_IS_HELD = _IS_WRITTEN.where(transfers.c.hold_sequence == bindparam("number", type_=BigInteger()))
_SET_ASIDE = (
    update(ledger_accounts)
    .where(_account.owner == bindparam("its_owner"), _account.currency == bindparam("its_currency"))
    .where(or_(_account.may_overdraw, _account.posted - _account.held >= _held_step))
    .where(exists().where(*_written, transfers.c.hold_sequence == _account.holds + 1).correlate(ledger_accounts))
    .values(
        held=_account.held + _held_step,
        holds=_account.holds + 1,
        holds_head=chained(_account.holds_head, bindparam("digest", type_=LargeBinary())),
    )
)
# Both accounts in one statement. All limits are conditions, so the result does not depend on which is updated first.
# They must be locked before: an UPDATE from a UNION ALL misses rows that changed while it waited (see findings/).
_numbers = dict.fromkeys(("step", "held_step", "need", "room"), BigInteger())
_LEG: dict[str, TypeEngine[Any]] = {"owner": ID, "leg": LargeBinary(), **_numbers}
_legs = union_all(
    *(select(*(bindparam(f"{name}_{turn}", type_=kind).label(name) for name, kind in _LEG.items())) for turn in (0, 1))
).subquery("legs")
_MOVE = (
    update(ledger_accounts)
    .where(_account.owner == _legs.c.owner, _account.currency == bindparam("its_currency"))
    .where(or_(_account.may_overdraw, _account.posted - _account.held >= _legs.c.need))
    .where(_account.posted <= _legs.c.room)
    .where(exists().where(*_written))
    .values(
        posted=_account.posted + _legs.c.step,
        held=_account.held + _legs.c.held_step,
        entries=_account.entries + 1,
        last_at=bindparam("now", type_=TIME),
        head=chained(_account.head, _legs.c.leg),
    )
    .returning(_account.owner, _account.posted, _account.entries, _account.head)
)
# INSERT ... SELECT ... UNION ALL writes both entries in one cached statement; a multi-row VALUES is not cached.
_both = (select(*(bindparam(f"{c.name}_{turn}", type_=c.type) for c in entries.c)) for turn in (0, 1))
_ENTER = insert(entries).from_select([c.name for c in entries.c], union_all(*_both))
_locked = (
    select(_account.owner, _account.last_at, _account.holds)
    .where(_account.currency == bindparam("currency"), among(_account.owner, bindparam("ids", type_=IDS)))
    .order_by(_account.may_overdraw, _account.owner)
    .with_for_update()
    .subquery("locked")
)
# The time is selected outside of the locking subquery: that of the last row is read when all accounts are locked.
LOCK = select(_locked.c.owner, _locked.c.last_at, _locked.c.holds, database_time().label("now"))


def lock_order(owner: UUID) -> tuple[bool, UUID]:
    """The sort key for locking: by id, the payment provider last. Every deposit locks the provider's account, so that
    lock should be held briefly.
    """
    return owner == PROVIDER, owner


def opened(owner: UUID, currency: str, at: datetime) -> dict[str, Any]:
    """The row of a new account."""
    own = {"owner": owner, "currency": currency, "may_overdraw": owner == PROVIDER, "last_at": at}
    return own | {"posted": 0, "held": 0, "entries": 0, "head": START, "holds": 0, "holds_head": START}


class Leg(Struct, frozen=True):
    """One account's side of a transfer: `step` is added to `posted`, `held_step` to `held`."""

    owner: UUID
    step: int
    leg: bytes
    held_step: int = 0

    def values(self, turn: int) -> dict[str, Any]:
        """Parameters of `_MOVE`: before the change, at least `need` must be available and at most `room` be posted."""
        own = {"owner": self.owner, "step": self.step, "held_step": self.held_step, "leg": self.leg}
        own |= {"need": self.held_step - self.step, "room": _LARGEST - max(self.step, 0)}
        return {f"{name}_{turn}": value for name, value in own.items()}


class LedgerAccounts:
    """The ledger accounts in one transaction. For the locked ones, `_last` has the times of the last entries and
    `_holds` the lengths of the chains of holds.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._last: dict[tuple[UUID, str], datetime] = {}
        self._holds: dict[tuple[UUID, str], int] = {}
        self._now = UNWRITTEN

    def lock(self, owners: Collection[UUID], currency: str) -> datetime:
        """Lock the accounts, in `lock_order`; missing ones are opened.

        Returns the database's time after locking, or that of their last entry if it is later.
        """
        ids = sorted({owner for owner in owners if (owner, currency) not in self._last}, key=lock_order)
        if ids:
            rows = self._work.rows(LOCK, {"ids": ids, "currency": currency})
            if missing := set(ids) - {row.owner for row in rows}:
                self._work.change(OPEN, [opened(owner, currency, UNWRITTEN) for owner in ids if owner in missing])
                rows = self._work.rows(LOCK, {"ids": ids, "currency": currency})
            self._last |= {(row.owner, currency): row.last_at for row in rows}
            self._holds |= {(row.owner, currency): row.holds for row in rows}
            self._now = self._work.seen = max(self._now, *(row.now for row in rows))
        return max(self._now, *(self._last[owner, currency] for owner in owners))

    def next_time(self, owners: Collection[UUID], currency: str) -> datetime:
        """Lock the accounts. Returns the time of a transfer between them: later than their last entries."""
        self.lock(owners, currency)
        return max(self._now, *(self._last[owner, currency] + _MICROSECOND for owner in owners))

    def next_hold(self, owner: UUID, currency: str) -> int:
        """The next number in the chain of holds of a locked account."""
        return self._holds[owner, currency] + 1

    def move(self, transfer: Transfer, digest: bytes, legs: tuple[Leg, Leg]) -> bool:
        """Change both accounts, which must be locked, and write their entries, with the transfer's time.

        Returns False and changes nothing when the transfer was not written because its id existed.
        """
        currency, at, written = transfer.amount.currency, transfer.created_at, _named(transfer, digest)
        values = legs[0].values(0) | legs[1].values(1) | written | {"its_currency": currency, "now": at}
        moved = {row.owner: row for row in self._work.rows(_MOVE, values)}
        if not moved and not self._work.rows(_IS_WRITTEN, written):
            return False
        if transfer.debit not in moved and transfer.hold_id is not None:
            raise self._work.refused(Inconsistent(f"{transfer.debit} has not what was held in {transfer.hold_id}"))
        if transfer.debit not in moved:
            raise self._work.refused(
                Insufficient(f"{transfer.debit} has no {transfer.amount.amount} {currency} available")
            )
        if transfer.credit not in moved:
            raise self._work.refused(Invalid("a balance beyond 64 bits"))
        row: dict[str, Any] = {}
        for turn, leg in enumerate(legs):
            now = moved[leg.owner]
            entry = {"owner": leg.owner, "currency": currency, "sequence": now.entries, "transfer_id": transfer.id}
            entry |= {"amount": leg.step, "balance": now.posted, "at": at, "hash": now.head}
            row |= {f"{name}_{turn}": value for name, value in entry.items()}
            self._last[leg.owner, currency] = at
        self._work.queue(_ENTER, row)
        return True

    def set_aside(self, transfer: Transfer, digest: bytes, amount: int) -> bool:
        """Add `amount` to `held` of the debit account; a negative amount frees money. Returns False as `move` does.

        Raises `Insufficient`.
        """
        owner, currency, written = transfer.debit, transfer.amount.currency, _named(transfer, digest)
        values = written | {"its_owner": owner, "its_currency": currency, "held_step": amount}
        if self._work.change(_SET_ASIDE, values):
            self._holds[owner, currency] += 1
        elif not self._work.rows(_IS_HELD, written | {"number": self.next_hold(owner, currency)}):
            return False
        else:
            kind = Insufficient if amount > 0 else Inconsistent
            raise self._work.refused(kind(f"{owner} has no {amount} {currency} available"))
        return True


def _named(transfer: Transfer, digest: bytes) -> dict[str, Any]:
    return {"its_transfer": transfer.id, "digest": digest}
