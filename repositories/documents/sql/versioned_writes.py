"""Helpers for posts, comments and products in SQL: versioned writes, and queries with optional conditions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from repositories.batched import batched
from repositories.errors import NotFound, Stale
from repositories.sql import Result, SqlWork

R = TypeVar("R")
LOADED_AT_ONCE = 1000  # documents per transaction, so that a load does not block other writers for long
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def encoded(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def at_once(records: Sequence[R], *, key: Callable[[R], Any]) -> Iterator[Sequence[R]]:
    """Batches of a load, sorted by key: loads that lock rows in different orders could deadlock."""
    return batched(sorted(records, key=key), LOADED_AT_ONCE)


def integers_fit(values: Iterable[object]) -> None:
    """Raise `OverflowError` beyond 64 bits: JSON could store larger integers, but the other adapters could not."""
    if any(isinstance(value, int) and not SMALLEST <= value <= LARGEST for value in values):
        raise OverflowError("an integer beyond 64 bits")


def check_changed(work: SqlWork, update: Result, select: str, document_id: UUID) -> None:
    """Raise `Stale` or `NotFound` if `update`, of a live document with a given version, changed no row. `select` finds
    the live document with any version.
    """
    if not update.rowcount:
        raise Stale if work.execute(select, (document_id,)).fetchone() else NotFound


def query(select: str, conditions: Mapping[str, object], order: str, limit: int) -> tuple[str, list[object]]:
    """Append conditions to `select`, which already has a `WHERE`. Conditions whose value is None are omitted."""
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " ".join((" AND ".join((select, *given)), order, "LIMIT ?")), [*given.values(), limit]
