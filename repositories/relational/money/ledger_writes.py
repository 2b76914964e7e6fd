"""Writes to the ledger: transfers, holds, and the end of a hold (post, void, expire)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import bindparam, delete, insert, select

from repositories.errors import Conflict, Invalid, NotFound, Resolved
from repositories.records.money import Balance, Created, Differs, Exists, Money, Phase, Posting, Transfer
from repositories.relational.money.balance_writes import LedgerAccounts, Leg
from repositories.relational.money.digests import digest_of, leg_of
from repositories.relational.money.ledger import HOLD_COLUMNS, LAST, read_transfers, read_wallet, to_hold
from repositories.relational.money.order_chain import Heads
from repositories.relational.money_port import LedgerWrites
from repositories.relational.schema.money_tables import open_holds, transfers
from repositories.relational.upserts import insert as upsert
from repositories.relational.work import Work

_CONTENT = ("phase", "kind", "debit", "credit", "amount", "order_id", "hold_id", "memo", "reference")

_ADD = upsert(transfers).on_conflict_do_nothing(index_elements=[transfers.c.id])
_ADD_HOLD = insert(open_holds)
_END_HOLD = delete(open_holds).where(open_holds.c.id == bindparam("its_id")).returning(*HOLD_COLUMNS)
_OUTCOME = select(transfers.c.phase).where(transfers.c.hold_id == bindparam("hold_id"))
_OPEN_HOLDS = (
    select(*HOLD_COLUMNS)
    .where(open_holds.c.order_id == bindparam("order_id"))
    .order_by(open_holds.c.created_at, open_holds.c.id)
)


def transfer_row(
    transfer: Transfer, *, hold_sequence: int | None = None, order_head: bytes | None = None
) -> dict[str, Any]:
    row = {name: getattr(transfer, name) for name in transfer.__struct_fields__}
    row |= {"amount": transfer.amount.amount, "currency": transfer.amount.currency}
    moves = moves_money(transfer.phase)
    return row | {
        "debit_leg": transfer.debit if moves else None,
        "credit_leg": transfer.credit if moves else None,
        "hold_sequence": hold_sequence,
        "order_head": order_head,
        "digest": digest_of(transfer, order_head),
    }


def moves_money(phase: Phase) -> bool:
    return phase in {"single", "post"}


def valid(transfer: Transfer, phase: Phase) -> bool:
    amount = transfer.amount.amount
    return (
        type(amount) is int
        and 0 < amount <= LAST
        and transfer.debit != transfer.credit
        and len(transfer.amount.currency) == 3
        and transfer.phase == phase
        and transfer.hold_id is None
        and (transfer.expires_at is not None) == (phase == "hold")
    )


class SqlLedgerWrites(LedgerWrites):
    """`heads`: the heads of the sub-orders locked in the transaction. Digests of their transfers cover them."""

    def __init__(self, work: Work, heads: Heads) -> None:
        self._work = work
        self._heads = heads
        self._accounts = LedgerAccounts(work)

    def lock(self, owners: Collection[UUID], currency: str) -> datetime:
        return self._accounts.lock(owners, currency)

    def transfer(self, transfer: Transfer) -> Posting:
        self._check(transfer, "single")
        made = self._timed(transfer, {transfer.debit, transfer.credit})
        digest = self._add(made)["digest"]
        return Created(made) if self._pay(made, digest, held=0) else self._compare_with_stored(made)

    def hold(self, transfer: Transfer) -> Posting:
        self._check(transfer, "hold")
        made = self._timed(transfer, {transfer.debit})
        row = self._add(made)
        if not self._accounts.set_aside(made, row["digest"], made.amount.amount):
            return self._compare_with_stored(made)
        self._work.queue(_ADD_HOLD, {column.name: row[column.name] for column in open_holds.c})
        return Created(made)

    def post(self, transfer_id: UUID, hold_id: UUID, *, amount: int | None = None, at: datetime) -> Posting:
        hold = self._end(hold_id)
        if hold is None:
            return self._hold_not_open(transfer_id, hold_id, "post", amount)
        if hold.expires_at is not None and hold.expires_at <= at:
            raise self._work.refused(Resolved("expire"))
        paid = hold.amount.amount if amount is None else amount
        if type(paid) is not int or not 0 < paid <= hold.amount.amount:
            raise self._work.refused(Invalid(f"cannot pay {paid} of a hold of {hold.amount.amount}"))
        end, digest = self._record(transfer_id, hold, "post", {hold.debit, hold.credit}, paid)
        return self._require_new(end, self._pay(end, digest, held=hold.amount.amount))

    def void(self, transfer_id: UUID, hold_id: UUID) -> Posting:
        hold = self._end(hold_id)
        if hold is None:
            return self._hold_not_open(transfer_id, hold_id, "void", None)
        return self._free(transfer_id, hold, "void")

    def expire(self, transfer_id: UUID, hold_id: UUID, *, at: datetime) -> Posting:
        hold = self._end(hold_id)
        if hold is None:
            return self._hold_not_open(transfer_id, hold_id, "expire", None)
        if hold.expires_at is not None and hold.expires_at > at:
            raise self._work.refused(Invalid("the hold is not due"))
        return self._free(transfer_id, hold, "expire")

    def wallet(self, owner: UUID) -> list[Balance]:
        return read_wallet(self._work, owner)

    def open_holds(self, order_id: UUID) -> list[Transfer]:
        return [to_hold(row) for row in self._work.rows(_OPEN_HOLDS, {"order_id": order_id})]

    def _check(self, transfer: Transfer, phase: Phase) -> None:
        if not valid(transfer, phase):
            raise self._work.refused(Invalid(f"no valid {phase} transfer"))

    def _row(self, transfer: Transfer) -> dict[str, Any]:
        """The row of a transfer whose debit account is locked."""
        number, head = None, None
        if not moves_money(transfer.phase):
            number = self._accounts.next_hold(transfer.debit, transfer.amount.currency)
        if (order := transfer.order_id) is not None:
            head = self._heads.get((order, transfer.credit)) or self._heads.get((order, transfer.debit))
        return transfer_row(transfer, hold_sequence=number, order_head=head)

    def _add(self, transfer: Transfer) -> dict[str, Any]:
        """Queue the transfer's INSERT and return its row. Moving its money tells whether its id existed already."""
        row = self._row(transfer)
        self._work.queue(_ADD, row)
        return row

    def _compare_with_stored(self, transfer: Transfer) -> Exists | Differs:
        """Compare the transfer with the stored one of the same id."""
        known = read_transfers(self._work, [transfer.id])[transfer.id]
        for field in _CONTENT:
            if getattr(known, field) != getattr(transfer, field):
                return Differs(known, field)
        return Exists(known)

    def _require_new(self, end: Transfer, is_new: bool) -> Created:  # noqa: FBT001 - the answer to the question
        if not is_new:
            raise self._work.refused(Conflict("id"))
        return Created(end)

    def _pay(self, transfer: Transfer, digest: bytes, *, held: int) -> bool:
        amount = transfer.amount.amount
        debit = Leg(transfer.debit, -amount, leg_of(digest, transfer.debit, -amount), -held)
        credit = Leg(transfer.credit, amount, leg_of(digest, transfer.credit, amount))
        return self._accounts.move(transfer, digest, (debit, credit))

    def _end(self, hold_id: UUID) -> Transfer | None:
        """Delete the open hold and return it. Of concurrent callers one gets it, the others None."""
        rows = self._work.rows(_END_HOLD, {"its_id": hold_id})
        return to_hold(rows[0]) if rows else None

    def _free(self, transfer_id: UUID, hold: Transfer, phase: Phase) -> Created:
        end, digest = self._record(transfer_id, hold, phase, {hold.debit}, hold.amount.amount)
        return self._require_new(end, self._accounts.set_aside(end, digest, -hold.amount.amount))

    def _timed(self, transfer: Transfer, owners: set[UUID]) -> Transfer:
        """Lock the owners' accounts, and set the database's time or a later one: later than their last entries."""
        return replace(transfer, created_at=self._accounts.next_time(owners, transfer.amount.currency))

    def _record(
        self, transfer_id: UUID, hold: Transfer, phase: Phase, owners: set[UUID], amount: int
    ) -> tuple[Transfer, bytes]:
        """Insert the end of a hold. Returns it with its digest."""
        money = Money(amount, hold.amount.currency)
        end = replace(hold, id=transfer_id, phase=phase, hold_id=hold.id, amount=money, expires_at=None)
        end = self._timed(end, owners)
        return end, self._add(end)["digest"]

    def _hold_not_open(self, transfer_id: UUID, hold_id: UUID, phase: Phase, amount: int | None) -> Exists | Differs:
        """Compare with the stored transfer of this id, which may have ended the hold. Raises `NotFound`, `Resolved`."""
        known = read_transfers(self._work, {transfer_id, hold_id})
        end, hold = known.get(transfer_id), known.get(hold_id)
        if end is not None:
            return _compared(end, hold_id, phase, amount, hold)
        if hold is None or hold.phase != "hold":
            raise self._work.refused(NotFound(f"no hold {hold_id}"))
        raise self._work.refused(Resolved(self._work.rows(_OUTCOME, {"hold_id": hold_id})[0].phase))


def _compared(
    end: Transfer, hold_id: UUID, phase: Phase, amount: int | None, hold: Transfer | None
) -> Exists | Differs:
    if end.phase != phase:
        return Differs(end, "phase")
    if end.hold_id != hold_id:
        return Differs(end, "hold_id")
    wanted = amount if amount is not None or hold is None else hold.amount.amount
    return Exists(end) if wanted == end.amount.amount else Differs(end, "amount")
