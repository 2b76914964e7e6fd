"""What the adapters in SQL have in common: versioned writes, and conditions that may be absent."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from repositories.batched import batched
from repositories.errors import NotFound, Stale
from repositories.sql import Result, SqlWork

R = TypeVar("R")
LOADED_AT_ONCE = 1000  # documents, so that a load does not keep other writers out
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def encoded(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def at_once(records: Sequence[R], *, key: Callable[[R], Any]) -> Iterator[Sequence[R]]:
    """Portions of a load, in the order of the keys: loads that lock rows in other orders could wait for each other."""
    return batched(sorted(records, key=key), LOADED_AT_ONCE)


def integers_fit(values: Iterable[object]) -> None:
    """JSON would hold more, but the other adapters would not."""
    if any(isinstance(value, int) and not SMALLEST <= value <= LARGEST for value in values):
        raise OverflowError("an integer beyond 64 bits")


def check_changed(work: SqlWork, update: Result, select: str, document_id: UUID) -> None:
    """`update` was of a live document of one version. Where it found none, `select` (of a live one) tells why."""
    if not update.rowcount:
        raise Stale if work.execute(select, (document_id,)).fetchone() else NotFound


def query(select: str, conditions: Mapping[str, object], order: str, limit: int) -> tuple[str, list[object]]:
    """`select` ends with a condition of its own; of the others, those without a value are left out."""
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " ".join((" AND ".join((select, *given)), order, "LIMIT ?")), [*given.values(), limit]
