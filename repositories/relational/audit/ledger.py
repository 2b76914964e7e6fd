"""Recomputes the ledger from its rows, in batches.

Transfers and entries are immutable, so an account read in one statement can be compared with entries read later.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import BigInteger, Select, bindparam, cast, exists, func, select, tuple_

from repositories.money_records import PROVIDER, Finding
from repositories.relational.money.digests import START, chain, digest_of, leg_of
from repositories.relational.money.ledger import TRANSFER_COLUMNS, to_transfer
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import entries, ledger_accounts, open_holds, transfers
from repositories.relational.statement_runner import AnyRow, Runner

BATCH = 1_000
NIL = UUID(int=0)

_account, _entry = ledger_accounts.c, entries.c
_held = (
    select(cast(func.coalesce(func.sum(open_holds.c.amount), 0), BigInteger))
    .where(open_holds.c.debit == _account.owner, open_holds.c.currency == _account.currency)
    .scalar_subquery()
)
_ACCOUNTS = (
    select(ledger_accounts, _held.label("open"))
    .where(tuple_(_account.owner, _account.currency) > tuple_(bindparam("owner", type_=ID), bindparam("currency")))
    .order_by(_account.owner, _account.currency)
    .limit(LIMIT)
)
_place = tuple_(bindparam("owner", type_=ID), bindparam("currency"), bindparam("sequence", type_=BigInteger()))
_ENTRIES: Select[*tuple[object, ...]] = (
    select(entries, transfers.c.digest, transfers.c.created_at, transfers.c.debit, transfers.c.credit)
    .outerjoin(transfers, transfers.c.id == _entry.transfer_id)
    .where(
        tuple_(_entry.owner, _entry.currency, _entry.sequence) > _place,
        tuple_(_entry.owner, _entry.currency) <= tuple_(bindparam("last_owner", type_=ID), bindparam("last_currency")),
    )
    .order_by(_entry.owner, _entry.currency, _entry.sequence)
    .limit(LIMIT)
)
_debit, _credit, _hold, _end = (table.alias() for table in (entries, entries, transfers, transfers))
_TRANSFERS = (
    select(
        *TRANSFER_COLUMNS,
        transfers.c.digest,
        _debit.c.amount.label("left"),
        _credit.c.amount.label("came"),
        _debit.c.at.label("left_at"),
        _credit.c.at.label("came_at"),
        select(func.count()).where(entries.c.transfer_id == transfers.c.id).scalar_subquery().label("legs"),
        _hold.c.amount.label("hold_amount"),
        open_holds.c.amount.label("open_amount"),
        open_holds.c.expires_at.label("open_until"),
        exists().where(_end.c.hold_id == transfers.c.id).label("ended"),
    )
    .outerjoin(_debit, (_debit.c.transfer_id == transfers.c.id) & (_debit.c.owner == transfers.c.debit))
    .outerjoin(_credit, (_credit.c.transfer_id == transfers.c.id) & (_credit.c.owner == transfers.c.credit))
    .outerjoin(_hold, _hold.c.id == transfers.c.hold_id)
    .outerjoin(open_holds, open_holds.c.id == transfers.c.id)
    .where(transfers.c.id > bindparam("after", type_=ID))
    .order_by(transfers.c.id)
    .limit(LIMIT)
)


def audit_ledger(runner: Runner) -> Iterator[Finding]:
    yield from _transfers(runner)
    owner, currency = NIL, ""
    while accounts := runner.rows(_ACCOUNTS, {"owner": owner, "currency": currency, "limit": BATCH}):
        ends = {(row.owner, row.currency): row for row in accounts}
        found = groupby(_entries(runner, (owner, currency), accounts[-1]), key=lambda row: (row.owner, row.currency))
        for key, rows in found:
            if key in ends:
                yield from _account_findings(ends.pop(key), rows)
        for row in ends.values():
            yield from _account_findings(row, iter(()))
        owner, currency = accounts[-1].owner, accounts[-1].currency


def _entries(runner: Runner, start: tuple[UUID, str], last: AnyRow) -> Iterator[AnyRow]:
    """The entries of a batch of accounts. `start` is the account before the batch."""
    values = {"owner": start[0], "currency": start[1], "sequence": 2**63 - 1, "limit": BATCH}
    values |= {"last_owner": last.owner, "last_currency": last.currency}
    while rows := runner.rows(_ENTRIES, values):
        yield from rows
        values |= {name: getattr(rows[-1], name) for name in ("owner", "currency", "sequence")}


def _account_findings(account: AnyRow, rows: Iterator[AnyRow]) -> Iterator[Finding]:
    about = f"ledger account {account.owner} {account.currency}"
    if account.held != account.open:
        yield Finding(about, f"holds {account.held}, its open holds are {account.open}")
    balance, sequence, head = 0, 0, START
    last: datetime | None = None
    for row in rows:
        if row.sequence > account.entries:
            break
        balance, sequence, head = balance + row.amount, sequence + 1, _next(head, row)
        last = row.created_at if last is None or (row.created_at is not None and row.created_at > last) else last
        for problem in _entry_problems(row, balance, sequence, head, last):
            yield Finding(f"entry {row.sequence} of {about}", problem)
        sequence, head = row.sequence, bytes(row.hash)
        last = row.at
    if (balance, sequence, head) != (account.posted, account.entries, bytes(account.head)):
        yield Finding(about, f"has {account.posted} after {account.entries} entries; these say {balance}, {sequence}")
    elif last is not None and account.last_at != last:
        yield Finding(about, "its last time is not its last entry's")


def _next(head: bytes, row: AnyRow) -> bytes:
    return chain(head, leg_of(bytes(row.digest or b""), row.owner, row.amount))


def _entry_problems(row: AnyRow, balance: int, sequence: int, head: bytes, last: datetime | None) -> Iterator[str]:
    if row.sequence != sequence:
        yield f"should be number {sequence}"
    if row.balance != balance:
        yield f"says the balance is {row.balance} instead of {balance}"
    if bytes(row.hash) != head:
        yield "breaks the hash chain"
    if last is not None and (row.at < last or (row.at > last and PROVIDER in {row.debit, row.credit})):
        yield f"says it was at {row.at} instead of {last}"


def _transfers(runner: Runner) -> Iterator[Finding]:
    after = NIL
    while rows := runner.rows(_TRANSFERS, {"after": after, "limit": BATCH}):
        for row in rows:
            for problem in _transfer_problems(row):
                yield Finding(f"transfer {row.id}", problem)
        after = rows[-1].id


def _transfer_problems(row: AnyRow) -> Iterator[str]:
    transfer = to_transfer(row[: len(TRANSFER_COLUMNS)])
    if digest_of(transfer) != bytes(row.digest):
        yield "is not what its digest was made of"
    moves = transfer.phase in {"single", "post"}
    if (row.left, row.came, row.legs) != ((-row.amount, row.amount, 2) if moves else (None, None, 0)):
        yield f"has {row.legs} entries that do not match it"
    if PROVIDER not in {transfer.debit, transfer.credit} and row.left_at != row.came_at:
        yield "left and came at different times"
    is_open = transfer.phase == "hold" and not row.ended
    if (row.open_amount, row.open_until) != ((row.amount, row.expires_at) if is_open else (None, None)):
        yield "does not match the list of open holds"
    if transfer.hold_id is not None and (row.hold_amount is None or row.hold_amount < row.amount):
        yield "ends a hold that is not there, or by more than was held"
