"""Reads of the ledger: wallets, entries, transfers and holds."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, case, select

from repositories.records.money import Balance, Entry, Money, Transfer
from repositories.relational.money_port import LedgerReads
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import entries, ledger_accounts, open_holds, transfers
from repositories.relational.statement_runner import Runner, RunnerBacked

LAST = 2**63 - 1

_HOLD = ("id", "kind", "debit", "credit", "amount", "currency", "created_at", "order_id", "expires_at")
_TRANSFER = (*_HOLD[:-1], "phase", "hold_id", "expires_at", "memo", "reference")
HOLD_COLUMNS = tuple(open_holds.c[name] for name in _HOLD)
TRANSFER_COLUMNS = tuple(transfers.c[name] for name in _TRANSFER)

GET_TRANSFERS = select(*TRANSFER_COLUMNS).where(among(transfers.c.id, bindparam("ids", type_=IDS)))
_WALLET = select(ledger_accounts.c.currency, ledger_accounts.c.posted, ledger_accounts.c.held).where(
    ledger_accounts.c.owner == bindparam("owner")
)
_its_account: tuple[ColumnElement[bool], ...] = (
    entries.c.owner == bindparam("owner", type_=ID),
    entries.c.currency == bindparam("currency"),
)
_other = case((transfers.c.debit == entries.c.owner, transfers.c.credit), else_=transfers.c.debit)
_page: Select[Any] = (
    select(
        entries.c.sequence,
        entries.c.transfer_id,
        transfers.c.kind,
        _other,
        transfers.c.order_id,
        entries.c.amount,
        entries.c.balance,
        entries.c.at,
        transfers.c.memo,
        transfers.c.reference,
    )
    .join(transfers, transfers.c.id == entries.c.transfer_id)
    .where(*_its_account)
    .limit(LIMIT)
)
_before = entries.c.sequence < bindparam("before", type_=BigInteger())
_until = entries.c.at <= bindparam("until", type_=TIME)
_ENTRIES = _page.where(_before).order_by(entries.c.sequence.desc())
# Within an account time never decreases with the sequence, so ordering by either is the same.
_ENTRIES_UNTIL = _page.where(_before, _until).order_by(entries.c.at.desc(), entries.c.sequence.desc())
_STATEMENT = _page.where(
    entries.c.at >= bindparam("since", type_=TIME),
    entries.c.at < bindparam("until", type_=TIME),
    entries.c.sequence > bindparam("after", type_=BigInteger()),
).order_by(entries.c.at, entries.c.sequence)
_BALANCE_AT = (
    select(entries.c.balance)
    .where(*_its_account, _until)
    .order_by(entries.c.at.desc(), entries.c.sequence.desc())
    .limit(1)
)
_DUE = (
    select(*HOLD_COLUMNS)
    .where(open_holds.c.expires_at <= bindparam("now"))
    .order_by(open_holds.c.expires_at, open_holds.c.id)
    .limit(LIMIT)
)


def to_transfer(row: Sequence[Any]) -> Transfer:
    one, kind, debit, credit, amount, currency, *rest = row
    return Transfer(one, kind, debit, credit, Money(amount, currency), *rest)


def to_hold(row: Sequence[Any]) -> Transfer:
    one, kind, debit, credit, amount, currency, created_at, order_id, expires_at = row
    money = Money(amount, currency)
    return Transfer(one, kind, debit, credit, money, created_at, order_id, "hold", None, expires_at)


def read_transfers(runner: Runner, ids: Collection[UUID]) -> dict[UUID, Transfer]:
    found = map(to_transfer, runner.rows(GET_TRANSFERS, {"ids": list(ids)}) if ids else ())
    return {transfer.id: transfer for transfer in found}


def read_wallet(runner: Runner, owner: UUID) -> list[Balance]:
    balances = (Balance(*row) for row in runner.rows(_WALLET, {"owner": owner}))
    return sorted(balances, key=lambda balance: balance.currency)


class SqlLedgerReads(RunnerBacked, LedgerReads):
    def wallet(self, owner: UUID) -> list[Balance]:
        return read_wallet(self._runner, owner)

    def entries(
        self, owner: UUID, currency: str, *, before: int | None = None, until: datetime | None = None, limit: int
    ) -> list[Entry]:
        values: dict[str, Any] = {"owner": owner, "currency": currency, "limit": limit}
        values["before"] = LAST if before is None else before
        if until is None:
            return [Entry(*row) for row in self._runner.rows(_ENTRIES, values)]
        return [Entry(*row) for row in self._runner.rows(_ENTRIES_UNTIL, values | {"until": until})]

    def statement(
        self, owner: UUID, currency: str, *, since: datetime, until: datetime, after: int, limit: int
    ) -> list[Entry]:
        values = {"owner": owner, "currency": currency, "since": since, "until": until, "after": after, "limit": limit}
        return [Entry(*row) for row in self._runner.rows(_STATEMENT, values)]

    def balance_at(self, owner: UUID, currency: str, at: datetime) -> int:
        rows = self._runner.rows(_BALANCE_AT, {"owner": owner, "currency": currency, "until": at})
        return rows[0].balance if rows else 0

    def get(self, ids: Collection[UUID]) -> dict[UUID, Transfer]:
        return read_transfers(self._runner, ids)

    def due_holds(self, *, now: datetime, limit: int) -> list[Transfer]:
        return [to_hold(row) for row in self._runner.rows(_DUE, {"now": now, "limit": limit})]
