"""What `migrate` makes in Cassandra: the keyspace, and the tables that are missing in it."""

import re
from datetime import timedelta

from repositories.feeds.schema import LONGEST_TTL, TABLES
from repositories.feeds.session import Link


class Plan:
    def __init__(self, keyspace: str, retention: timedelta, replication: str) -> None:
        self._keyspace = keyspace
        self._retention = retention
        self._replication = replication
        copies(replication, "local")

    def migrate(self, link: Link, *, dry_run: bool) -> list[str]:
        steps = self._steps(link)
        if not dry_run:
            for text in steps.values():
                link.schema(text)
        return list(steps)

    def _steps(self, link: Link) -> dict[str, str]:
        """CQL by the line that tells of it."""
        steps = {}
        if not link.schema(
            "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (self._keyspace,)
        ):
            steps[f"feeds: CREATE KEYSPACE {self._keyspace}"] = self._create_keyspace(link.datacenter())
        there = link.schema("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (self._keyspace,))
        for name in TABLES:
            if (name,) not in there:
                steps[f"feeds: CREATE TABLE {self._keyspace}.{name}"] = self._create_table(name)
        return steps

    def _create_keyspace(self, local: str) -> str:
        placed = "".join(f", '{name}': {count}" for name, count in copies(self._replication, local).items())
        return (
            f"CREATE KEYSPACE IF NOT EXISTS {self._keyspace} "
            f"WITH replication = {{'class': 'NetworkTopologyStrategy'{placed}}}"
        )

    def _create_table(self, name: str) -> str:
        """About thirty compaction windows span the retention."""
        ttl = min(LONGEST_TTL, max(1, self._retention // timedelta(seconds=1)))
        days = max(1, self._retention.days // 30)
        return TABLES[name].format(keyspace=self._keyspace, ttl=ttl, window_days=days)


def copies(replication: str, local: str) -> dict[str, int]:
    """`3` is for the local data centre, `dc1:3,dc2:3` names each."""
    if replication.isdecimal():
        return {local: int(replication)}
    parts = [re.fullmatch(r"\s*([\w.-]+):(\d+)\s*", part) for part in replication.split(",")]
    found = {part[1]: int(part[2]) for part in parts if part}
    if len(found) < len(parts):
        raise ValueError(f"not a replication: {replication!r}")
    return found
