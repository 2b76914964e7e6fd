"""What the embedded adapters have in common: versioned writes, and conditions that may be absent."""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from repositories.errors import NotFound, Stale

LOADED_AT_ONCE = 1000  # documents, so that a load does not keep other writers out
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def encoded(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()


def integers_fit(values: Iterable[object]) -> None:
    """JSON would hold more, but the other adapter would not."""
    if any(isinstance(value, int) and not SMALLEST <= value <= LARGEST for value in values):
        raise OverflowError("an integer beyond 64 bits")


def check_version(connection: sqlite3.Connection, select: str, document_id: str, if_version: int) -> None:
    """`select` finds the version of a live document by its id and compares it with `if_version`."""
    found = connection.execute(select, (if_version, document_id)).fetchone()
    if found is None:
        raise NotFound
    if not found[0]:
        raise Stale


def query(select: str, conditions: Mapping[str, object], order: str, limit: int) -> tuple[str, list[object]]:
    """`select` ends with a condition of its own; of the others, those without a value are left out."""
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " ".join((" AND ".join((select, *given)), order, "LIMIT ?")), [*given.values(), limit]
