"""Unlogged batches, each within one partition: one mutation, which needs no coordination between nodes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement

from repositories.batched import batched

# About 4 kB of entries; servers warn above 5 kB.
BATCH = 50
# Spoken by Cassandra 4.0 and later. Negotiating the version would cost a connection.
PROTOCOL = 5


def batch_of(statement: Any, rows: Iterable[Sequence[Any]]) -> BatchStatement:
    """A batch of the statement for all rows, which share a partition key.

    Values are serialized here, those of the partition key once: the driver's `bind` takes three times as long.
    """
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    forms = [column.type.serialize for column in statement.column_metadata]
    bound = BoundStatement(statement)
    common: list[Any] = []
    own: list[tuple[int, Any]] = []
    for row in rows:
        if not common:
            shared = {*(statement.routing_key_indexes or ()), *(n for n, one in enumerate(row) if one is UNSET_VALUE)}
            common = [
                form(value, PROTOCOL) if n in shared and value is not UNSET_VALUE else UNSET_VALUE
                for n, (form, value) in enumerate(zip(forms, row, strict=True))
            ]
            own = [(n, form) for n, form in enumerate(forms) if n not in shared]
        bound.values = common.copy()
        for n, form in own:
            bound.values[n] = form(row[n], PROTOCOL)
        batch.add(bound)
    return batch


def together(rows: Iterable[Sequence[Any]], key: int) -> Iterator[list[Sequence[Any]]]:
    """The rows of each partition, `BATCH` at a time."""
    partitions: dict[Any, list[Sequence[Any]]] = {}
    for row in rows:
        partitions.setdefault(row[:key], []).append(row)
    for some in partitions.values():
        yield from batched(some, BATCH)
