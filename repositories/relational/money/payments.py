"""Payments in the ledger, and those that the sandbox provider keeps."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, case, delete, select, tuple_

from repositories.errors import NotFound
from repositories.records.graph import TimeCursor
from repositories.records.money import Money
from repositories.records.payments import Payment
from repositories.relational.payments_port import OpenPaymentWrites, PaymentReads, SandboxReads, SandboxWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import IS_PAYMENT, IS_PAYOUT, transfers
from repositories.relational.schema.tables import account_counters, open_payments, sandbox_payments
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert as upsert
from repositories.relational.work import WorkBacked

_its, _end = transfers.c, transfers.alias("ended")
_is_deposit = _its.phase == "single"
_PAYMENTS: Select[Any] = (
    select(
        _its.id.label("reference"),
        _its.kind,
        _its.amount,
        _its.currency,
        case((_is_deposit | (_end.c.phase == "post"), "approved"), (_end.c.id.is_(None), "pending"), else_="declined"),
        _its.created_at.label("at"),
        case((_is_deposit, _its.credit), else_=_its.debit),
        _end.c.created_at,
    )
    .outerjoin(_end, _end.c.hold_id == _its.id)
    .where(IS_PAYMENT)
)
_OF_SANDBOX: Select[Any] = select(
    *(sandbox_payments.c[name] for name in ("reference", "kind", "amount", "currency", "state", "at"))
)
_ids = bindparam("ids", type_=IDS)
_GET = _PAYMENTS.where(among(_its.id, _ids))
_GET_OF_SANDBOX = _OF_SANDBOX.where(sandbox_payments.c.reference == bindparam("reference", type_=ID))
# A deleted account has no counters. The lock prevents deletion of their row, but not updates.
_existing_owner = (
    select(
        account_counters.c.account_id,
        bindparam("its_reference", type_=ID).label("reference"),
        bindparam("at", type_=TIME).label("since"),
    )
    .where(account_counters.c.account_id == bindparam("its_owner", type_=ID))
    .with_for_update(read=True, key_share=True)
)
_begun = upsert(open_payments).from_select(["owner", "reference", "since"], _existing_owner)
_BEGIN = _begun.on_conflict_do_update(
    index_elements=[open_payments.c.owner, open_payments.c.reference], set_={"since": open_payments.c.since}
)
_of_owner = open_payments.c.owner == bindparam("its_owner", type_=ID)
_END = delete(open_payments).where(_of_owner, open_payments.c.reference == bindparam("its_reference", type_=ID))
_FORGET = delete(open_payments).where(_of_owner)
_ADD = upsert(sandbox_payments).on_conflict_do_nothing()
_payouts = (
    _PAYMENTS.where(IS_PAYOUT, _its.debit == bindparam("owner", type_=ID))
    .order_by(_its.created_at.desc(), _its.id.desc())
    .limit(LIMIT)
)
_mark = tuple_(bindparam("mark_at", type_=TIME), bindparam("mark_id", type_=ID))
_PAYOUTS = {False: _payouts, True: _payouts.where(tuple_(_its.created_at, _its.id) < _mark)}


def _between(listed: Select[Any], table: Table, at: str, reference: str) -> dict[bool, Select[Any]]:
    """The statements for the first page (False) and for later pages (True)."""
    time, one = table.c[at], table.c[reference]
    first = listed.where(time >= bindparam("since", type_=TIME), time < bindparam("until", type_=TIME))
    first = first.order_by(time, one).limit(LIMIT)
    return {False: first, True: first.where(tuple_(time, one) > _mark)}


_BETWEEN = _between(_PAYMENTS, transfers, "created_at", "id")
_BETWEEN_OF_SANDBOX = _between(_OF_SANDBOX, sandbox_payments, "at", "reference")


class SqlPaymentReads(RunnerBacked, PaymentReads):
    def get(self, references: Collection[UUID]) -> dict[UUID, Payment]:
        rows = self._runner.rows(_GET, {"ids": list(references)}) if references else ()
        return {row[0]: _to_payment(row) for row in rows}

    def payouts(self, owner: UUID, *, before: TimeCursor | None, limit: int) -> list[Payment]:
        rows = self._runner.rows(_PAYOUTS[before is not None], {"owner": owner, "limit": limit} | _marked(before))
        return [_to_payment(row) for row in rows]

    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> list[Payment]:
        values = {"since": since, "until": until, "limit": limit} | _marked(after)
        return [_to_payment(row) for row in self._runner.rows(_BETWEEN[after is not None], values)]


class SqlOpenPaymentWrites(WorkBacked, OpenPaymentWrites):
    def begin(self, owner: UUID, reference: UUID, at: datetime) -> None:
        if not self._work.change(_BEGIN, {"its_owner": owner, "its_reference": reference, "at": at}):
            raise self._work.refused(NotFound())

    def end(self, owner: UUID, reference: UUID) -> None:
        self._work.change(_END, {"its_owner": owner, "its_reference": reference})

    def forget(self, owner: UUID) -> int:
        return self._work.change(_FORGET, {"its_owner": owner})


class SqlSandboxReads(RunnerBacked, SandboxReads):
    def get(self, reference: UUID) -> Payment | None:
        rows = self._runner.rows(_GET_OF_SANDBOX, {"reference": reference})
        return _to_payment(rows[0]) if rows else None

    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> list[Payment]:
        values = {"since": since, "until": until, "limit": limit} | _marked(after)
        return [_to_payment(row) for row in self._runner.rows(_BETWEEN_OF_SANDBOX[after is not None], values)]


class SqlSandboxWrites(WorkBacked, SandboxWrites):
    def add(self, payments: Collection[Payment]) -> int:
        rows = [_row(one) for one in payments]
        return self._work.change(_ADD, rows[0] if len(rows) == 1 else rows) if rows else 0


def _row(payment: Payment) -> dict[str, Any]:
    money = {"amount": payment.money.amount, "currency": payment.money.currency}
    own = {name: getattr(payment, name) for name in ("reference", "kind", "state", "at")}
    return own | money


def _marked(mark: TimeCursor | None) -> dict[str, Any]:
    return {} if mark is None else {"mark_at": mark.at, "mark_id": mark.id}


def _to_payment(row: Sequence[Any]) -> Payment:
    reference, kind, amount, currency, state, at, *of_ledger = row
    return Payment(reference, kind, Money(amount, currency), state, at, *of_ledger)
