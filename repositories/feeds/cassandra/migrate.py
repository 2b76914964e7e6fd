"""What `migrate` does in Cassandra: create what is missing, record the bucket widths, carry over former names."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT

from repositories.errors import Unavailable
from repositories.feeds.cassandra.link import Link, Row
from repositories.feeds.cassandra.schema import (
    GATE_COLUMN,
    GATED,
    LONGEST_TTL,
    SPECULATIVE_RETRY,
    TABLES,
    WIDTHS_ADD,
    WIDTHS_READ,
)
from repositories.feeds.id_time import millis
from repositories.feeds.layout import Layout

# The widths in keyspaces of versions in which they could not be set.
FORMER_WIDTHS = {"author": 90, "home": 10}
# Low watermarks are kept in the relational store now.
FORMER_TABLES = ("home_floor",)
# `read_markers` until its column was renamed. Cassandra renames columns of a primary key only.
FORMER_MARKERS = "notification_marker"
_FORMER_READ = "SELECT owner_id, fact_id FROM {keyspace}.notification_marker"
_FORMER_COLUMN = """SELECT column_name FROM system_schema.columns
WHERE keyspace_name = %s AND table_name = 'notifications' AND column_name = 'fact_id'"""

_NOTED_COLUMN = """SELECT column_name FROM system_schema.columns
WHERE keyspace_name = %s AND table_name = 'notifications' AND column_name = 'noted'"""


_TABLES_THERE = "SELECT table_name, speculative_retry FROM system_schema.tables WHERE keyspace_name = %s"
_DEFAULT_WAIT = "99p"


class Migration:
    def __init__(self, keyspace: str, retention: timedelta, replication: str, layout: Layout) -> None:
        self._keyspace = keyspace
        self._retention = retention
        self._replication = replication
        self._layout = layout
        copies(replication, "local")

    def migrate(self, link: Link, *, dry_run: bool) -> list[str]:
        """Returns one line per step. Raises `RuntimeError` where buckets of other widths have been written."""
        steps = self._steps(link)
        if not dry_run:
            for line, text in steps.items():
                if line.endswith(FORMER_MARKERS):
                    self._copy_markers(link)
                link.schema(text, profile="write" if text.startswith("INSERT") else "schema")
        return list(steps)

    def confirm(self, session: Any) -> None:
        """Check the recorded widths on a new connection: `Unavailable` without any, `RuntimeError` if others."""
        for profile in ("schema", EXEC_PROFILE_DEFAULT):
            # One replica usually has them; a quorum may have to wait for a frozen one.
            rows = session.execute(WIDTHS_READ.format(keyspace=self._keyspace), execution_profile=profile)
            missing = self._missing(list(rows))
            if not missing:
                break
        if missing:
            raise Unavailable("feeds", "the widths of its buckets are not recorded; run `quartet migrate`")

    def _steps(self, link: Link) -> dict[str, str]:
        """CQL by the line that reports it. Widths come first: tables without recorded widths have the former ones."""
        steps = {}
        if not link.schema(
            "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (self._keyspace,)
        ):
            steps[f"feeds: CREATE KEYSPACE {self._keyspace}"] = self._create_keyspace(link.datacenter())
        waits: dict[str, str] = dict(link.schema(_TABLES_THERE, (self._keyspace,)))
        there = set(waits)
        for name in there.intersection(FORMER_TABLES):
            steps[f"feeds: DROP TABLE {self._keyspace}.{name}"] = f"DROP TABLE IF EXISTS {self._keyspace}.{name}"
        steps |= self._open_gates(link, there)
        for name in TABLES:
            if name not in there:
                steps[f"feeds: CREATE TABLE {self._keyspace}.{name}"] = self._create_table(name)
            if name == "bucket_widths":
                steps |= self._record_widths(link, there)
        if link.schema(_FORMER_COLUMN, (self._keyspace,)):
            steps[f"feeds: RENAME COLUMN {self._keyspace}.notifications.fact_id"] = (
                f"ALTER TABLE {self._keyspace}.notifications RENAME fact_id TO activity_id"
            )
        if "notifications" in there and not link.schema(_NOTED_COLUMN, (self._keyspace,)):
            steps[f"feeds: ADD COLUMN {self._keyspace}.notifications.noted"] = (
                f"ALTER TABLE {self._keyspace}.notifications ADD noted uuid"
            )
        steps |= self._speculate(waits)
        if FORMER_MARKERS in there:
            table = f"{self._keyspace}.{FORMER_MARKERS}"
            steps[f"feeds: COPY AND DROP TABLE {table}"] = f"DROP TABLE IF EXISTS {table}"
        return steps

    def _open_gates(self, link: Link, there: set[str]) -> dict[str, str]:
        """Add gates to tables of earlier versions. Once `moving_marks` exists, a missing gate was dropped by a move."""
        former = [name for name in GATED if name in there and "moving_marks" not in there]
        names = [name for name in former if not link.schema(GATE_COLUMN, (self._keyspace, name))]
        return {
            f"feeds: ADD COLUMN {self._keyspace}.{name}.gate": f"ALTER TABLE {self._keyspace}.{name} ADD gate tinyint"
            for name in names
        }

    def _speculate(self, waits: dict[str, str]) -> dict[str, str]:
        """Set `speculative_retry` for tables of earlier versions, which have the default. Any other value stays."""
        texts = [
            f"ALTER TABLE {self._keyspace}.{name} WITH speculative_retry = '{SPECULATIVE_RETRY}'"
            for name, wait in sorted(waits.items())
            if name in TABLES and wait == _DEFAULT_WAIT
        ]
        return {f"feeds: {text}": text for text in texts}

    def _copy_markers(self, link: Link) -> None:
        """Copy the markers of an earlier version. Their timestamps are the times in the ids, so a newer one stays."""
        rows = link.schema(_FORMER_READ.format(keyspace=self._keyspace), profile="write")
        link.write("read_mark", [(owner, activity_id, millis(activity_id) * 1000) for owner, activity_id in rows])

    def _record_widths(self, link: Link, there: set[str]) -> dict[str, str]:
        rows: list[Row] = []
        if "bucket_widths" in there:
            rows = link.schema(WIDTHS_READ.format(keyspace=self._keyspace), profile="write")
        if not rows and "author_timeline" in there:
            self._missing(FORMER_WIDTHS.items())
        return {
            f"feeds: buckets of {kind} timelines are {days} days wide": WIDTHS_ADD.format(
                keyspace=self._keyspace, line=kind, days=days
            )
            for kind, days in self._missing(rows).items()
        }

    def _missing(self, rows: Iterable[tuple[Any, ...]]) -> dict[str, int]:
        """The widths that are not recorded yet. Raises `RuntimeError` if a recorded one differs."""
        wanted = self._layout.widths()
        for kind, days in rows:
            if wanted.pop(kind) != days:
                raise RuntimeError(
                    f"keyspace {self._keyspace} has {kind} timelines in buckets of {days} days: set "
                    f"QUARTET_FEEDS_{kind.upper()}_BUCKET_DAYS={days}, or give QUARTET_FEEDS_URL a new keyspace, "
                    f"run `quartet migrate` and rebuild the feeds"
                )
        return wanted

    def _create_keyspace(self, local: str) -> str:
        placed = "".join(f", '{name}': {count}" for name, count in copies(self._replication, local).items())
        return (
            f"CREATE KEYSPACE IF NOT EXISTS {self._keyspace} "
            f"WITH replication = {{'class': 'NetworkTopologyStrategy'{placed}}}"
        )

    def _create_table(self, name: str) -> str:
        """A compaction window is as wide as a bucket, or wider, so that at most fifty span the retention."""
        ttl = min(LONGEST_TTL, max(1, self._retention // timedelta(seconds=1)))
        days = max(self._layout.home_days, -(-self._retention.days // 50))
        text = TABLES[name].format(keyspace=self._keyspace, ttl=ttl, window_days=days)
        return f"{text} {'AND' if ' WITH ' in text else 'WITH'} speculative_retry = '{SPECULATIVE_RETRY}'"


def copies(replication: str, local: str) -> dict[str, int]:
    """Replicas by data centre: `3` is for `local`, `dc1:3,dc2:3` names each. Raises `ValueError`."""
    if replication.isdecimal():
        return {local: int(replication)}
    parts = [re.fullmatch(r"\s*([\w.-]+):(\d+)\s*", part) for part in replication.split(",")]
    found = {part[1]: int(part[2]) for part in parts if part}
    if len(found) < len(parts):
        raise ValueError(f"not a replication: {replication!r}")
    return found
