"""Recomputes every ledger account from its entries: balance, number, hash chain and times; and the totals.

Runs in one snapshot. An account's entries are read with it, in batches; what belongs to no account is found between.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import BigInteger, Select, bindparam, case, cast, func, select, tuple_

from repositories.money_records import PROVIDER, UNWRITTEN, Finding
from repositories.relational.audit.walking import BATCH, walk
from repositories.relational.money.digests import START, chain, leg_of
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import entries, ledger_accounts, open_holds, transfers
from repositories.relational.statement_runner import AnyRow, Runner

NIL = UUID(int=0)
_LAST = 2**63 - 1

_account, _entry = ledger_accounts.c, entries.c
_held = (
    select(cast(func.coalesce(func.sum(open_holds.c.amount), 0), BigInteger))
    .where(open_holds.c.debit == _account.owner, open_holds.c.currency == _account.currency)
    .scalar_subquery()
)
_ACCOUNTS = walk(select(ledger_accounts, _held.label("open")), _account.owner, _account.currency)
# Where an entry is later than its transfer, as after a bulk load: the time of the other side's entry before.
_other, _before = entries.alias("other"), entries.alias("before")
_other_before = case(
    (
        _entry.at > transfers.c.created_at,
        select(_before.c.at)
        .select_from(_other)
        .join(
            _before,
            (_before.c.owner == _other.c.owner)
            & (_before.c.currency == _other.c.currency)
            & (_before.c.sequence == _other.c.sequence - 1),
        )
        .where(_other.c.transfer_id == _entry.transfer_id, _other.c.owner != _entry.owner)
        .correlate(entries)
        .scalar_subquery(),
    ),
)
_place = tuple_(bindparam("owner", type_=ID), bindparam("currency"), bindparam("sequence", type_=BigInteger()))
_ENTRIES: Select[*tuple[object, ...]] = (
    select(
        entries,
        transfers.c.digest,
        transfers.c.created_at,
        transfers.c.debit,
        transfers.c.credit,
        _other_before.label("other_before"),
    )
    .outerjoin(transfers, transfers.c.id == _entry.transfer_id)
    .where(tuple_(_entry.owner, _entry.currency, _entry.sequence) > _place)
    .order_by(_entry.owner, _entry.currency, _entry.sequence)
    .limit(LIMIT)
)
_end = tuple_(bindparam("last_owner", type_=ID), bindparam("last_currency"))
_ENTRIES_UP_TO = _ENTRIES.where(tuple_(_entry.owner, _entry.currency) <= _end)
Key = tuple[UUID, str]


def audit_accounts(runner: Runner) -> Iterator[Finding]:
    totals: Counter[str] = Counter()
    start: Key = (NIL, "")
    batch: list[AnyRow] = []
    for account in _ACCOUNTS.rows(runner):
        totals[account.currency] += account.posted
        batch.append(account)
        if len(batch) == BATCH:
            yield from _batch(runner, start, batch)
            start, batch = (account.owner, account.currency), []
    yield from _batch(runner, start, batch)
    last = (batch[-1].owner, batch[-1].currency) if batch else start
    for key, rows in groupby(_entries(runner, last, None), key=_key):
        yield from _stray(key, rows)
    for currency, total in sorted(totals.items()):
        if total:
            yield Finding(f"ledger accounts in {currency}", f"make {total} in all instead of 0")


def _batch(runner: Runner, start: Key, accounts: list[AnyRow]) -> Iterator[Finding]:
    if not accounts:
        return
    wanted = {_key(row): row for row in accounts}
    for key, rows in groupby(_entries(runner, start, accounts[-1]), key=_key):
        if key in wanted:
            yield from _account_findings(wanted.pop(key), rows)
        else:
            yield from _stray(key, rows)
    for row in wanted.values():
        yield from _account_findings(row, iter(()))


def _entries(runner: Runner, start: Key, last: AnyRow | None) -> Iterator[AnyRow]:
    """The entries behind the account `start`, up to and with those of `last`, or all."""
    values = {"owner": start[0], "currency": start[1], "sequence": _LAST, "limit": BATCH}
    statement = _ENTRIES
    if last is not None:
        statement = _ENTRIES_UP_TO
        values |= {"last_owner": last.owner, "last_currency": last.currency}
    while rows := runner.rows(statement, values):
        yield from rows
        values |= {name: getattr(rows[-1], name) for name in ("owner", "currency", "sequence")}


def _key(row: AnyRow) -> Key:
    return row.owner, row.currency


def _stray(key: Key, rows: Iterator[AnyRow]) -> Iterator[Finding]:
    yield Finding(f"ledger account {key[0]} {key[1]}", f"is not there, {sum(1 for _ in rows)} entries are")


def _account_findings(account: AnyRow, rows: Iterator[AnyRow]) -> Iterator[Finding]:
    about = f"ledger account {account.owner} {account.currency}"
    if account.held != account.open:
        yield Finding(about, f"holds {account.held}, its open holds are {account.open}")
    if bool(account.may_overdraw) != (account.owner == PROVIDER):
        yield Finding(about, "may fall below 0" if account.may_overdraw else "may not fall below 0")
    if account.owner != PROVIDER and account.posted < account.held:
        yield Finding(about, f"has {account.posted} and holds {account.held}")
    balance, sequence, head = 0, 0, START
    last: datetime | None = None
    for row in rows:
        balance, sequence, head = balance + row.amount, sequence + 1, _next(head, row)
        for problem in _entry_problems(row, balance, sequence, head, last):
            yield Finding(f"entry {row.sequence} of {about}", problem)
        sequence, head = row.sequence, bytes(row.hash)
        last = row.at
    if (balance, sequence, head) != (account.posted, account.entries, bytes(account.head)):
        yield Finding(about, f"has {account.posted} after {account.entries} entries; these say {balance}, {sequence}")
    elif account.last_at != (last or UNWRITTEN):
        yield Finding(about, "its last time is not its last entry's")


def _next(head: bytes, row: AnyRow) -> bytes:
    return chain(head, leg_of(bytes(row.digest or b""), row.owner, row.amount))


def _entry_problems(row: AnyRow, balance: int, sequence: int, head: bytes, last: datetime | None) -> Iterator[str]:
    """`last` is the time of the account's entry before."""
    if row.sequence != sequence:
        yield f"should be number {sequence}"
    if row.balance != balance:
        yield f"says the balance is {row.balance} instead of {balance}"
    if row.digest is None:
        yield "has no transfer"
        return
    if bytes(row.hash) != head:
        yield "breaks the hash chain"
    # A loaded transfer keeps its time, or gets that of the last entry of either side; the provider's side its own.
    others = () if PROVIDER in {row.debit, row.credit} else (row.other_before,)
    at = max(one for one in (row.created_at, last, *others) if one is not None)
    if row.at != at:
        yield f"says it was at {row.at} instead of {at}"
