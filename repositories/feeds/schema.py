"""Cassandra's tables and statements.

A partition is one timeline within one bucket of time, so it cannot grow without end. The bucket of an entry
follows from its post's id. `author_buckets` and `home_buckets` mark the buckets that are not empty, so that
a sparse timeline is read without trying empty partitions; a marker is written before the first entry of its
bucket and outlives the last one. Tombstones are kept for `gc_grace_seconds`, ten days unless altered.
"""

from datetime import timedelta
from uuid import UUID

from msgspec import Struct

DAY_MS = 24 * 60 * 60 * 1000


class Line(Struct, frozen=True):
    """One kind of timeline: the width of its buckets and the names of its statements."""

    name: str
    width_ms: int

    def bucket(self, post_id: UUID) -> int:
        return (post_id.int >> 80) // self.width_ms

    def end_ms(self, bucket: int) -> int:
        return (bucket + 1) * self.width_ms


# A partition stays below 100 MB. An author's entry takes about 40 bytes: 2.5 million posts in 90 days, one
# every three seconds without a pause, which rate limits do not let through. A home entry takes about 70
# bytes: 1.4 million in 10 days, as from 10,000 followed accounts with 14 posts a day each.
AUTHOR = Line("author", 90 * DAY_MS)
HOME = Line("home", 10 * DAY_MS)

# Expiry dates end in 2038 in the storage format that Cassandra 5.0 writes unless told otherwise.
LONGEST_TTL = timedelta(days=10 * 365) // timedelta(seconds=1)
LONGEST_MARKER_TTL = timedelta(days=11 * 365) // timedelta(seconds=1)

TABLES = {
    "author_timeline": """CREATE TABLE IF NOT EXISTS {keyspace}.author_timeline (
        author_id uuid, bucket int, post_id uuid,
        PRIMARY KEY ((author_id, bucket), post_id)
    ) WITH CLUSTERING ORDER BY (post_id DESC)""",
    "author_buckets": """CREATE TABLE IF NOT EXISTS {keyspace}.author_buckets (
        author_id uuid, bucket int,
        PRIMARY KEY (author_id, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
    "home_timeline": """CREATE TABLE IF NOT EXISTS {keyspace}.home_timeline (
        owner_id uuid, bucket int, post_id uuid, author_id uuid,
        PRIMARY KEY ((owner_id, bucket), post_id)
    ) WITH CLUSTERING ORDER BY (post_id DESC) AND default_time_to_live = {ttl} AND compaction = {{
        'class': 'TimeWindowCompactionStrategy',
        'compaction_window_unit': 'DAYS', 'compaction_window_size': {window_days}
    }}""",
    "home_buckets": """CREATE TABLE IF NOT EXISTS {keyspace}.home_buckets (
        owner_id uuid, bucket int,
        PRIMARY KEY (owner_id, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
    "home_floor": """CREATE TABLE IF NOT EXISTS {keyspace}.home_floor (
        owner_id uuid PRIMARY KEY, floor uuid
    )""",
}

_ENTRIES = "FROM {keyspace}.%s_timeline WHERE %s_id = ? AND bucket = ? AND post_id > ?"
_AUTHOR = _ENTRIES % ("author", "author")
_HOME = _ENTRIES % ("home", "owner")

STATEMENTS = {
    "author_add": """INSERT INTO {keyspace}.author_timeline (author_id, bucket, post_id)
        VALUES (?, ?, ?) USING TIMESTAMP ?""",
    "author_remove": """DELETE FROM {keyspace}.author_timeline USING TIMESTAMP ?
        WHERE author_id = ? AND bucket = ? AND post_id = ?""",
    "author_mark": """INSERT INTO {keyspace}.author_buckets (author_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ?""",
    "author_buckets": """SELECT bucket FROM {keyspace}.author_buckets
        WHERE author_id = ? AND bucket >= ? AND bucket <= ?""",
    "author_falling": f"SELECT post_id {_AUTHOR} AND post_id < ? ORDER BY post_id DESC LIMIT ?",
    "author_rising": f"SELECT post_id {_AUTHOR} AND post_id < ? ORDER BY post_id ASC LIMIT ?",
    "home_add": """INSERT INTO {keyspace}.home_timeline (owner_id, bucket, post_id, author_id)
        VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    "home_remove": """DELETE FROM {keyspace}.home_timeline USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ? AND post_id = ?""",
    "home_mark": """INSERT INTO {keyspace}.home_buckets (owner_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ? AND TTL ?""",
    "home_buckets": """SELECT bucket FROM {keyspace}.home_buckets
        WHERE owner_id = ? AND bucket >= ? AND bucket <= ?""",
    "home_falling": f"SELECT post_id, author_id {_HOME} AND post_id < ? ORDER BY post_id DESC LIMIT ?",
    "home_rising": f"SELECT post_id, author_id {_HOME} AND post_id < ? ORDER BY post_id ASC LIMIT ?",
    "home_scan": f"SELECT post_id, author_id, WRITETIME(author_id) {_HOME}",
    "floor": "SELECT floor FROM {keyspace}.home_floor WHERE owner_id = ?",
    "floor_raise": """INSERT INTO {keyspace}.home_floor (owner_id, floor)
        VALUES (?, ?) USING TIMESTAMP ?""",
}


def statements(keyspace: str) -> dict[str, str]:
    return {name: text.format(keyspace=keyspace) for name, text in STATEMENTS.items()}
