"""Dumps the rows of all tables that hold truth, by primary key, and loads them by the engine's bulk insert."""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
    Table,
    Text,
    column,
    literal_column,
    select,
    table,
)

from repositories.dump_port import Dump, Frozen, Load, RecordKind
from repositories.relational.audit.walking import BATCH, Walk, walk
from repositories.relational.bulk import Load as BulkInsert
from repositories.relational.schema import feeds_tables, money_tables, offer_tables, order_tables, tables
from repositories.relational.schema.columns import TEXT
from repositories.relational.schema.functions import database_time
from repositories.relational.statement_runner import AnyRow, Runner, Snapshot
from repositories.relational.work import Work

# Dumped instead of the rows' own values: a restored store has no timelines, so its readers' pages are pulled.
_DORMANT = {"feed_activity": {"state": literal_column("'dormant'", TEXT).label("state")}}
_NOT_COPIED = {"feed_activity": {"low_watermark"}, "outbox": {"lease", "lease_until"}}
# Texts of three capitals, or of lower-case letters: every collation gives them the same order.
_SAME_IN_EVERY_COLLATION = {"currency", "purpose"}
# A hold comes before the transfer that ends it.
_hold_id = money_tables.transfers.c.hold_id
_IN_PASSES: dict[str, tuple[ColumnElement[bool], ...]] = {"transfers": (_hold_id.is_(None), _hold_id.is_not(None))}
COPIED = (
    *(tables.accounts, tables.handle_reservations, tables.logins, tables.mail_tokens, tables.endings),
    *(tables.account_counters, tables.follows, tables.blocks, tables.likes, tables.post_counters),
    feeds_tables.feed_activity,
    *(tables.stock, money_tables.stock_receipts, money_tables.ledger_accounts, money_tables.transfers),
    *(money_tables.entries, money_tables.open_holds, money_tables.reservations, order_tables.orders),
    *(order_tables.order_lines, order_tables.sub_orders, order_tables.shipments, order_tables.shipment_lines),
    *(order_tables.refunds, order_tables.order_heads, money_tables.request_keys, tables.open_payments),
    *(tables.sandbox_payments, tables.outbox),
)
LEFT_OUT = {
    "event_log": "what sinks have to send or may send again; begins anew with the events of the outbox",
    "log_heads": "the last position of that log",
    "sinks": "how far each is in that log",
    "webhooks": "receivers of that log, whose secrets do not belong into a backup; they are made anew",
    "sink_dead_letters": "events of that log",
    "levels": "how full the former places were",
    "deferred": "what a cache has still to drop; a restore empties the cache",
    offer_tables.offers.name: "what servers may take for a product without asking the documents; made anew by orders",
    "fanouts": "how far timelines are filled, which a restore leaves empty",
    "pulled_authors": "whose posts are not pushed; decided anew with the next post",
    "feed_signals": "counters by which cached pages are checked",
}
_AT = select(database_time().label("at"))


class Copied(NamedTuple):
    """How one table is dumped and loaded.

    `grouped` are the key columns before the first text. Since the order of texts depends on the database's collation,
    rows with equal `grouped` are sorted here, by code points: the request keys of one account, or all reserved handles.
    """

    kind: RecordKind
    walks: tuple[Walk, ...]
    grouped: tuple[str, ...]
    keys: tuple[str, ...]
    target: Any


def copied_whole(of: Table) -> Copied:
    """The table with all its columns unchanged."""
    return _copied(of, {}, set())


def _copied(of: Table, made: Mapping[str, ColumnElement[Any]], without: Collection[str]) -> Copied:
    copied = [one for one in of.c if one.name not in without]
    names = tuple(str(one.name) for one in copied)
    keys = tuple(str(one.name) for one in of.primary_key)
    texts = (
        at for at, key in enumerate(keys) if isinstance(of.c[key].type, Text) and key not in _SAME_IN_EVERY_COLLATION
    )
    statement = select(*(made.get(one.name, one) for one in copied))
    passes = [statement.where(where) for where in _IN_PASSES.get(of.name, ())] or [statement]
    return Copied(
        RecordKind(str(of.name), names, tuple[tuple(_type(one) for one in copied)]),  # type: ignore[misc]
        tuple(walk(one, *(of.c[key] for key in keys)) for one in passes),
        keys[: next(texts, len(keys))],
        keys,
        table(of.name, *(column(one.name, one.type) for one in copied)),
    )


def _type(of: Column[Any]) -> Any:
    kind = of.type.python_type
    return kind | None if of.nullable else kind


@functools.cache
def _all() -> Mapping[str, Copied]:
    return {of.name: _copied(of, _DORMANT.get(of.name, {}), _NOT_COPIED.get(of.name, ())) for of in COPIED}


class RelationalDump(Dump):
    """`working` opens a transaction that may take long, `insert` is the engine's bulk insert, and `finish` are the
    statements to run after it.
    """

    def __init__(
        self,
        runner: Runner,
        snapshot: Snapshot,
        working: Callable[[], AbstractContextManager[Work]],
        insert: BulkInsert,
        finish: Sequence[Executable] = (),
    ) -> None:
        self._runner = runner
        self._snapshot = snapshot
        self._working = working
        self._insert = insert
        self._finish = finish

    @functools.cached_property
    def kinds(self) -> Sequence[RecordKind]:  # type: ignore[override]  # it is only read
        return [one.kind for one in _all().values()]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Frozen]:
        with self._snapshot() as runner:
            at = runner.rows(_AT, {})[0].at
            yield Frozen(at, lambda kind: batches(runner, _all()[kind]))

    def is_empty(self) -> bool:
        return not any(self._runner.rows(one.first, {"limit": 1}) for kind in _all().values() for one in kind.walks)

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        with self._working() as work:

            def load(kind: str, records: Sequence[Any]) -> None:
                copied = _all()[kind]
                rows = [dict(zip(copied.kind.members, record, strict=True)) for record in records]
                with work.connection() as connection:
                    self._insert(connection, copied.target, rows)

            yield load
            for statement in self._finish:
                work.change(statement, {})


def batches(runner: Runner, copied: Copied) -> Iterator[Sequence[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    for row in (row for one in copied.walks for row in _in_order(one.rows(runner), copied)):
        # SQLAlchemy's rows are not tuples to an encoder.
        batch.append(tuple(row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _in_order(rows: Iterator[AnyRow], copied: Copied) -> Iterator[AnyRow]:
    if copied.grouped == copied.keys:
        return rows
    members = copied.kind.members
    grouped, keys = [members.index(key) for key in copied.grouped], [members.index(key) for key in copied.keys]
    groups = groupby(rows, key=lambda row: [row[at] for at in grouped])
    return (row for _, some in groups for row in sorted(some, key=lambda row: [row[at] for at in keys]))
