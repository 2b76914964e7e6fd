"""Recomputes what came after an anchor: entries, their transfers, and the orders of these.

What is older is compared by its accounts' heads alone; the whole audit reads it again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, select, union_all
from sqlalchemy.types import TypeEngine

from repositories.money_records import UNWRITTEN, Finding, Head
from repositories.relational.audit.accounts import NIL, PAGE, account_findings, lost, paired, read_entries, unbalanced
from repositories.relational.audit.orders import audit_some_orders
from repositories.relational.audit.transfers import audit_some_transfers
from repositories.relational.audit.walking import BATCH
from repositories.relational.money.digests import START
from repositories.relational.schema.columns import ID, TEXT
from repositories.relational.schema.money_tables import entries, transfers
from repositories.relational.statement_runner import AnyRow, Runner

# Accounts whose new entries one statement reads.
TOGETHER = 100
_AFTER: dict[str, TypeEngine[Any]] = {"owner": ID, "currency": TEXT, "entries": BigInteger()}
_starts = union_all(
    *(
        select(*(bindparam(f"{name}_{turn}", type_=kind).label(name) for name, kind in _AFTER.items()))
        for turn in range(TOGETHER)
    )
).subquery("starts")
_NEW = PAGE.add_columns(entries.c.transfer_id, transfers.c.order_id).join(
    _starts,
    (entries.c.owner == _starts.c.owner)
    & (entries.c.currency == _starts.c.currency)
    & (entries.c.sequence > _starts.c.entries),
)


def audit_since(runner: Runner, anchored: Iterable[Head]) -> Iterator[Head | Finding]:
    totals: Counter[str] = Counter()
    changed: dict[tuple[UUID, str], tuple[AnyRow, Head]] = {}
    for account, known in paired(runner, anchored):
        if account is None:
            yield from lost(known)
            continue
        totals[account.currency] += account.posted
        before = known or Head(account.owner, account.currency, 0, 0, UNWRITTEN, START)
        if account.entries > before.entries:
            changed[account.owner, account.currency] = account, before
        else:
            # Nothing has come, or less is there than was.
            yield from account_findings(account, iter(()), after=before)
        yield Head(
            account.owner, account.currency, account.entries, account.posted, account.last_at, bytes(account.head)
        )
        if len(changed) == TOGETHER:
            yield from _changed(runner, changed)
            changed = {}
    yield from _changed(runner, changed)
    yield from unbalanced(totals)


def _changed(runner: Runner, changed: dict[tuple[UUID, str], tuple[AnyRow, Head]]) -> Iterator[Finding]:
    if not changed:
        return
    starts = [before for _, before in changed.values()]
    starts += [Head(NIL, "", 0, 0, UNWRITTEN, START)] * (TOGETHER - len(starts))
    values = {f"{name}_{turn}": getattr(one, name) for turn, one in enumerate(starts) for name in _AFTER}
    place = {"owner": NIL, "currency": "", "sequence": 0}
    seen = Moved()
    rows = seen.through(read_entries(runner, _NEW, values | place))
    for key, own in groupby(rows, key=lambda row: (row.owner, row.currency)):
        account, before = changed.pop(key)
        yield from account_findings(account, own, after=before)
        if len(seen.transfers) >= BATCH:
            yield from seen.findings(runner)
    for account, before in changed.values():
        yield from account_findings(account, iter(()), after=before)
    yield from seen.findings(runner)


class Moved:
    """The transfers and orders of the entries that went through."""

    def __init__(self) -> None:
        self.transfers: set[UUID] = set()
        self._orders: set[UUID] = set()

    def through(self, rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
        for row in rows:
            self.transfers.add(row.transfer_id)
            if row.order_id is not None:
                self._orders.add(row.order_id)
            yield row

    def findings(self, runner: Runner) -> Iterator[Finding]:
        for ids, audit in ((self.transfers, audit_some_transfers), (self._orders, audit_some_orders)):
            left = iter(sorted(ids))
            while some := list(islice(left, BATCH)):
                yield from audit(runner, some)
            ids.clear()
