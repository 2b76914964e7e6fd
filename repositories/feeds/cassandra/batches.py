"""Unlogged batches, each within one partition: one mutation, which needs no coordination between nodes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement

# About 4 kB of entries; servers warn above 5 kB.
BATCH = 50
# Spoken by Cassandra 4.0 and later. Negotiating the version would cost a connection.
PROTOCOL = 5


def batch_of(statement: Any, rows: Iterable[Sequence[Any]]) -> BatchStatement:
    """Values are put in their form of the protocol here: `bind` of the driver takes thrice as long."""
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    forms = [column.type.serialize for column in statement.column_metadata]
    bound = BoundStatement(statement)
    for row in rows:
        bound.values = [
            value if value is UNSET_VALUE else form(value, PROTOCOL) for form, value in zip(forms, row, strict=True)
        ]
        batch.add(bound)
    return batch


def together(rows: Iterable[Sequence[Any]], key: int) -> Iterator[list[Sequence[Any]]]:
    """The rows of each partition, `BATCH` at a time."""
    partitions: dict[Any, list[Sequence[Any]]] = {}
    for row in rows:
        partitions.setdefault(row[:key], []).append(row)
    for some in partitions.values():
        yield from (some[at : at + BATCH] for at in range(0, len(some), BATCH))
