"""The statistics of Cassandra's nodes, from the virtual tables of `system_views`, which are local to each node."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta

from repositories.errors import Unavailable
from repositories.feeds.cassandra.link import Link, Row
from repositories.feeds.cassandra.target import target_of
from repositories.observer_port import SECONDS, EngineObserver, Question, Subject

_MEBIBYTE = 1 << 20
_OF_TABLES = "SELECT table_name, {columns} FROM system_views.{view} WHERE keyspace_name = '{keyspace}'"
# View, columns, names of the figures, and the factor.
_HISTOGRAMS = (
    ("max_partition_size", "mebibytes", ("widest_bytes",), _MEBIBYTE),
    ("disk_usage", "mebibytes", ("bytes",), _MEBIBYTE),
    ("tombstones_per_read", "p99th, max", ("tombstones_p99", "tombstones_most"), 1),
    ("rows_per_read", "p99th, max", ("rows_p99", "rows_most"), 1),
    ("local_read_latency", "count, p99th_ms", ("reads", "read_seconds_p99"), 1),
    ("local_write_latency", "count, p99th_ms", ("writes", "write_seconds_p99"), 1),
)
_IN_MILLISECONDS = {"read_seconds_p99", "write_seconds_p99"}
_POOLS = "SELECT name, pending_tasks, blocked_tasks_all_time FROM system_views.thread_pools"
_HINTS = "SELECT address, files FROM system_views.pending_hints"


class CassandraObserver(EngineObserver):
    """Asks every node that is up."""

    engine = "Cassandra"

    def __init__(self, url: str) -> None:
        where = target_of(url)
        self._keyspace = where.keyspace
        hosts = ",".join(f"{host}:{port}" for host, port in where.hosts)
        self.place = f"{hosts}/{where.keyspace}"
        timeout = timedelta(seconds=SECONDS)
        self._link = Link(where, {}, lambda _: None, timeout=timeout, read="LOCAL_ONE", write="LOCAL_ONE")

    def questions(self) -> Mapping[str, Question]:
        return {
            "the nodes": self._nodes,
            "histograms of tables": self._tables,
            "thread_pools": self._pools,
            "pending_hints": self._hints,
        }

    def close(self) -> None:
        self._link.close()

    def _nodes(self) -> Iterator[Subject]:
        self._link.ping()
        for node, up in self._link.nodes():
            yield Subject("node", node, {"up": float(up)})

    def _tables(self) -> Iterator[Subject]:
        """The maxima over all nodes: a table is as slow, and a partition as wide, as on the worst of them."""
        worst: dict[str, dict[str, float]] = {}
        for view, columns, names, times in _HISTOGRAMS:
            text = _OF_TABLES.format(columns=columns, view=view, keyspace=self._keyspace)
            # A view that this version does not have is left out.
            with contextlib.suppress(Unavailable):
                for table, *values in self._rows(text):
                    for name, value in zip(names, values, strict=True):
                        found = float(value) * (0.001 if name in _IN_MILLISECONDS else times)
                        of_table = worst.setdefault(table, {})
                        of_table[name] = max(of_table.get(name, 0.0), found)
        for table, figures in worst.items():
            yield Subject("table", table, figures)
        widest = max((figures.get("widest_bytes", 0.0) for figures in worst.values()), default=0.0)
        yield Subject("level", "partition", {"value": widest, "limit": 100.0 * _MEBIBYTE})
        yield Subject("level", "bytes", {"value": sum(figures.get("bytes", 0.0) for figures in worst.values())})

    def _pools(self) -> Iterator[Subject]:
        for node, rows in self._link.on_each(_POOLS):
            for name, pending, blocked in rows:
                figures = {"pending": float(pending), "blocked": float(blocked)}
                yield Subject("pool", name, figures, {"node": node})

    def _hints(self) -> Iterator[Subject]:
        for node, rows in self._link.on_each(_HINTS):
            for address, files in rows:
                yield Subject("hints", str(address), {"files": float(files)}, {"node": node})

    def _rows(self, text: str) -> Iterator[Row]:
        for _, rows in self._link.on_each(text):
            yield from rows
