"""Recomputes every ledger account from its entries: balance, number, hash chain and times; and the totals.

Runs in one snapshot. Accounts and entries are read side by side, in batches, which also finds entries without account.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, case, cast, func, or_, select, tuple_

from repositories.records.chain_heads import Head
from repositories.records.money import PROVIDER, UNWRITTEN, Finding
from repositories.relational.audit.holds import Holds
from repositories.relational.audit.walking import BATCH, NIL, Key, key_of, read_on, walk
from repositories.relational.money.digests import START, chain, leg_of
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import entries, ledger_accounts, open_holds, transfers
from repositories.relational.statement_runner import AnyRow, Runner

_LAST = 2**63 - 1

_account, _entry = ledger_accounts.c, entries.c
_held = (
    select(cast(func.coalesce(func.sum(open_holds.c.amount), 0), BigInteger))
    .where(open_holds.c.debit == _account.owner, open_holds.c.currency == _account.currency)
    .scalar_subquery()
)
_ACCOUNTS = walk(select(ledger_accounts, _held.label("open")), _account.owner, _account.currency)
# For an entry later than its transfer, as after a bulk load: the time of the entry before the other side's entry.
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
PAGE: Select[Any] = (
    select(
        *(_entry[name] for name in ("owner", "currency", "sequence", "amount", "balance", "at", "hash")),
        transfers.c.digest,
        transfers.c.created_at,
        or_(transfers.c.debit == PROVIDER, transfers.c.credit == PROVIDER).label("provided"),
        _other_before.label("other_before"),
    )
    .outerjoin(transfers, transfers.c.id == _entry.transfer_id)
    .where(tuple_(_entry.owner, _entry.currency, _entry.sequence) > _place)
    .order_by(_entry.owner, _entry.currency, _entry.sequence)
    .limit(LIMIT)
)
_end = tuple_(bindparam("last_owner", type_=ID), bindparam("last_currency"))
UP_TO = PAGE.where(tuple_(_entry.owner, _entry.currency) <= _end)
Pair = tuple[AnyRow, Head | None]


def audit_accounts(runner: Runner, anchored: Iterable[Head]) -> Iterator[Finding]:
    """Follow the chains from their start, and check that they lead through the heads `anchored`."""
    totals: Counter[str] = Counter()
    holds = Holds(runner)
    start: Key = (NIL, "")
    batch: list[Pair] = []
    for account, known in paired(runner, anchored):
        if account is None:
            yield from lost(known)
            continue
        totals[account.currency] += account.posted
        yield from holds.of(account, known)
        batch.append((account, known))
        if len(batch) == BATCH:
            yield from _batch(runner, start, batch)
            start, batch = key_of(account), []
    yield from holds.until()
    yield from _batch(runner, start, batch)
    last = key_of(batch[-1][0]) if batch else start
    for key, rows in groupby(_entries(runner, last, None), key=key_of):
        yield from _stray(key, rows)
    yield from unbalanced(totals)


def unbalanced(totals: Counter[str]) -> Iterator[Finding]:
    for currency, total in sorted(totals.items()):
        if total:
            yield Finding(f"ledger accounts in {currency}", f"have balances that sum to {total} instead of 0")


def paired(runner: Runner, anchored: Iterable[Head]) -> Iterator[tuple[AnyRow | None, Head | None]]:
    """The accounts in order, each with its anchored head, if any; and heads whose accounts are missing."""
    rows = ((row.owner, row, None) for row in _ACCOUNTS.rows(runner))
    heads = ((head.owner, None, head) for head in anchored)
    for _, group in groupby(heapq.merge(rows, heads, key=itemgetter(0)), key=itemgetter(0)):
        parts = list(group)
        known = {head.currency: head for _, _, head in parts if head is not None}
        yield from ((row, known.pop(row.currency, None)) for _, row, _ in parts if row is not None)
        yield from ((None, head) for head in known.values())


def _batch(runner: Runner, start: Key, accounts: list[Pair]) -> Iterator[Finding]:
    if not accounts:
        return
    wanted = {key_of(row): (row, known) for row, known in accounts}
    for key, rows in groupby(_entries(runner, start, accounts[-1][0]), key=key_of):
        if key in wanted:
            row, known = wanted.pop(key)
            yield from account_findings(row, rows, through=known)
        else:
            yield from _stray(key, rows)
    for row, known in wanted.values():
        yield from account_findings(row, iter(()), through=known)


def _entries(runner: Runner, start: Key, last: AnyRow | None) -> Iterator[AnyRow]:
    """The entries of the accounts after `start`, up to and including `last`, or to the end."""
    values: dict[str, Any] = {"owner": start[0], "currency": start[1], "sequence": _LAST}
    if last is None:
        return read_on(runner, PAGE, values)
    return read_on(runner, UP_TO, values | {"last_owner": last.owner, "last_currency": last.currency})


def _stray(key: Key, rows: Iterator[AnyRow]) -> Iterator[Finding]:
    yield Finding(f"ledger account {key[0]} {key[1]}", f"is missing, but has {sum(1 for _ in rows)} entries")


def lost(known: Head | None) -> Iterator[Finding]:
    if known is not None:
        yield Finding(f"ledger account {known.owner} {known.currency}", "is missing, but is in the anchor")


def account_findings(
    account: AnyRow, rows: Iterator[AnyRow], *, after: Head | None = None, through: Head | None = None
) -> Iterator[Finding]:
    """Check one account. `rows` are all its entries, or those after the head `after`."""
    about = f"ledger account {account.owner} {account.currency}"
    if account.held != account.open:
        yield Finding(about, f"has {account.held} held, but open holds of {account.open}")
    if bool(account.may_overdraw) != (account.owner == PROVIDER):
        yield Finding(
            about,
            "may go below 0, but is a wallet" if account.may_overdraw else "may not go below 0, but is the provider's",
        )
    if account.owner != PROVIDER and account.posted < account.held:
        yield Finding(about, f"has a balance of {account.posted}, but {account.held} held")
    balance, sequence, head = (after.posted, after.entries, after.head) if after else (0, 0, START)
    last = after.last_at if after and after.entries else None
    is_met = through is None or through.entries == 0
    for row in rows:
        balance, sequence, head = balance + row.amount, sequence + 1, _next(head, row)
        for problem in _entry_problems(row, balance, sequence, head, last):
            yield Finding(f"entry {row.sequence} of {about}", problem)
        sequence, head = row.sequence, bytes(row.hash)
        last = row.at
        if through is not None and row.sequence == through.entries:
            is_met = (row.balance, head) == (through.posted, through.head)
    if through is not None and not is_met:
        yield Finding(about, f"its first {through.entries} entries differ from the anchor")
    if (balance, sequence, head) != (account.posted, account.entries, bytes(account.head)):
        yield Finding(
            about,
            f"has {account.posted} after {account.entries} entries; they make {balance}, {sequence} or another head",
        )
    elif account.last_at != (last or UNWRITTEN):
        yield Finding(about, "its last time differs from that of its last entry")


def _next(head: bytes, row: AnyRow) -> bytes:
    return chain(head, leg_of(bytes(row.digest or b""), row.owner, row.amount))


def _entry_problems(row: AnyRow, balance: int, sequence: int, head: bytes, last: datetime | None) -> Iterator[str]:
    """`last` is the time of the account's previous entry."""
    if row.sequence != sequence:
        yield f"should have number {sequence}"
    if row.balance != balance:
        yield f"has the balance {row.balance} instead of {balance}"
    if row.digest is None:
        yield "has no transfer"
        return
    if bytes(row.hash) != head:
        yield "breaks the hash chain"
    # An entry has its transfer's time, raised by a bulk load to that of the last entry of either side; in transfers
    # with the provider, of its own side only.
    at = row.created_at if last is None or last < row.created_at else last
    if row.at != at and not row.provided and row.other_before is not None:
        at = max(at, row.other_before)
    if row.at != at:
        yield f"has the time {row.at} instead of {at}"
