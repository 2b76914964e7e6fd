"""Recomputes what came after an anchor: entries, their transfers, and the orders of these.

Older rows are compared by their accounts' heads alone; the whole audit reads them again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, select, union_all
from sqlalchemy.types import TypeEngine

from repositories.records.chain_heads import Head
from repositories.records.money import UNWRITTEN, Finding
from repositories.relational.audit.accounts import (
    PAGE,
    UP_TO,
    account_findings,
    lost,
    paired,
    unbalanced,
)
from repositories.relational.audit.holds import HOLDS, hold_findings
from repositories.relational.audit.once import Once
from repositories.relational.audit.transfers import audit_some_transfers
from repositories.relational.audit.walking import BATCH, NIL, key_of, read_on
from repositories.relational.money.digests import START
from repositories.relational.schema.columns import ID, TEXT
from repositories.relational.schema.money_tables import entries, transfers
from repositories.relational.statement_runner import AnyRow, Runner

# The number of accounts whose new entries one statement reads.
TOGETHER = 100
_AFTER: dict[str, TypeEngine[Any]] = {"owner": ID, "currency": TEXT, "entries": BigInteger(), "holds": BigInteger()}
_NOBODY = Head(NIL, "", 0, 0, UNWRITTEN, START)
_starts = union_all(
    *(
        select(*(bindparam(f"{name}_{turn}", type_=kind).label(name) for name, kind in _AFTER.items()))
        for turn in range(TOGETHER)
    )
).subquery("starts")
_NEW_HOLDS = HOLDS.join(
    _starts,
    (transfers.c.debit == _starts.c.owner)
    & (transfers.c.currency == _starts.c.currency)
    & (transfers.c.hold_sequence > _starts.c.holds),
)
_OF_ONE = UP_TO.add_columns(entries.c.transfer_id, transfers.c.order_id)
_NEW = PAGE.add_columns(entries.c.transfer_id, transfers.c.order_id).join(
    _starts,
    (entries.c.owner == _starts.c.owner)
    & (entries.c.currency == _starts.c.currency)
    & (entries.c.sequence > _starts.c.entries),
)


Changed = dict[tuple[UUID, str], tuple[AnyRow, Head]]


def audit_since(runner: Runner, anchored: Iterable[Head], orders: Once) -> Iterator[Head | Finding]:
    """`orders` audits the orders of the new entries and holds."""
    moved = Moved(runner, orders)
    totals: Counter[str] = Counter()
    changed: Changed = {}
    held: Changed = {}
    pending = 0
    for account, known in paired(runner, anchored):
        if account is None:
            yield from lost(known)
            continue
        totals[account.currency] += account.posted
        before = known or Head(account.owner, account.currency, 0, 0, UNWRITTEN, START)
        own = {(account.owner, account.currency): (account, before)}
        new = account.entries - before.entries
        if new > BATCH:
            yield from _findings(moved, _of_one(runner, account, before), own)
        elif new > 0:
            changed |= own
            pending += new
        else:
            # There are no new entries, or fewer than when it was anchored.
            yield from account_findings(account, iter(()), after=before)
        if account.holds > before.holds:
            held |= own
        else:
            yield from hold_findings(account, (), after=before)
        yield _head(account)
        if len(held) == TOGETHER:
            yield from _held(runner, moved, held)
            held = {}
        if len(changed) == TOGETHER or pending > BATCH:
            yield from _findings(moved, _of_some(runner, changed), changed)
            changed, pending = {}, 0
    yield from _findings(moved, _of_some(runner, changed), changed)
    yield from _held(runner, moved, held)
    yield from unbalanced(totals)


def _head(row: AnyRow) -> Head:
    return Head(
        *(row.owner, row.currency, row.entries, row.posted, row.last_at, bytes(row.head)),
        *(row.holds, bytes(row.holds_head)),
    )


def _of_one(runner: Runner, account: AnyRow, before: Head) -> Iterator[AnyRow]:
    values = {"owner": account.owner, "currency": account.currency, "sequence": before.entries}
    return read_on(runner, _OF_ONE, values | {"last_owner": account.owner, "last_currency": account.currency})


def _of_some(runner: Runner, changed: Changed) -> Iterator[AnyRow]:
    """The new entries of some accounts. They are few in all, so the database never sorts much for a page."""
    if not changed:
        return iter(())
    return read_on(runner, _NEW, _places(changed))


def _places(changed: Changed) -> dict[str, Any]:
    starts = [before for _, before in changed.values()]
    starts += [_NOBODY] * (TOGETHER - len(starts))
    values = {f"{name}_{turn}": getattr(one, name) for turn, one in enumerate(starts) for name in _AFTER}
    return values | {"owner": NIL, "currency": "", "sequence": 0}


def _held(runner: Runner, moved: "Moved", held: Changed) -> Iterator[Finding]:
    """Check the new holds of some accounts, and the orders of these."""
    if not held:
        return
    left = dict(held)
    for key, own in groupby(moved.through(read_on(runner, _NEW_HOLDS, _places(held))), key=key_of):
        account, before = left.pop(key)
        yield from hold_findings(account, own, after=before)
    for account, before in left.values():
        yield from hold_findings(account, (), after=before)
    yield from moved.rest()


def _findings(moved: "Moved", entries_of: Iterator[AnyRow], changed: Changed) -> Iterator[Finding]:
    left = dict(changed)
    for key, own in groupby(moved.through(entries_of), key=key_of):
        account, before = left.pop(key)
        yield from account_findings(account, own, after=before)
    for account, before in left.values():
        yield from account_findings(account, iter(()), after=before)
    yield from moved.rest()


class Moved:
    """Audits the transfers and orders of the entries that go through, a batch at a time."""

    def __init__(self, runner: Runner, orders: Once) -> None:
        self._audited_transfers = Once(audit_some_transfers, runner)
        self._audited_orders = orders
        self._transfers: set[UUID] = set()
        self._orders: set[UUID] = set()
        self._found: list[Finding] = []

    def through(self, rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
        for row in rows:
            self._transfers.add(row.transfer_id)
            if row.order_id is not None:
                self._orders.add(row.order_id)
            if len(self._transfers) == BATCH:
                self._audit()
            yield row

    def rest(self) -> list[Finding]:
        """Audit what has gone through since the last batch. Returns the findings since the last call."""
        self._audit()
        found, self._found = self._found, []
        return found

    def _audit(self) -> None:
        self._found += self._audited_transfers.of(self._transfers)
        self._found += self._audited_orders.of(self._orders)
        self._transfers.clear()
        self._orders.clear()
