"""Cassandra's tables and statements.

A partition is one timeline within one bucket of time, so it cannot grow without end. The bucket of an entry
follows from its post's id. `author_buckets` and `home_buckets` mark the buckets that are not empty, so that
a sparse timeline is read without trying empty partitions; a marker is written before the first entry of its
bucket and outlives the last one. Tombstones are kept for `gc_grace_seconds`, ten days unless altered.
"""

from datetime import timedelta

# Expiry dates end in 2038 in the storage format that Cassandra 5.0 writes unless told otherwise.
LONGEST_TTL = timedelta(days=10 * 365) // timedelta(seconds=1)
LONGEST_MARKER_TTL = timedelta(days=11 * 365) // timedelta(seconds=1)

TABLES = {
    "bucket_widths": """CREATE TABLE IF NOT EXISTS {keyspace}.bucket_widths (
        line ascii PRIMARY KEY, days int
    )""",
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
    "notifications": """CREATE TABLE IF NOT EXISTS {keyspace}.notifications (
        owner_id uuid, bucket int, fact_id uuid,
        kind ascii, subject uuid, actor uuid, at_us bigint, number int, detail text,
        PRIMARY KEY ((owner_id, bucket), fact_id)
    ) WITH CLUSTERING ORDER BY (fact_id DESC) AND default_time_to_live = {ttl} AND compaction = {{
        'class': 'TimeWindowCompactionStrategy',
        'compaction_window_unit': 'DAYS', 'compaction_window_size': {window_days}
    }}""",
    "notification_buckets": """CREATE TABLE IF NOT EXISTS {keyspace}.notification_buckets (
        owner_id uuid, bucket int,
        PRIMARY KEY (owner_id, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
    "notification_marker": """CREATE TABLE IF NOT EXISTS {keyspace}.notification_marker (
        owner_id uuid PRIMARY KEY, fact_id uuid
    )""",
}

_ENTRIES = "FROM {keyspace}.%s_timeline WHERE %s_id = ? AND bucket = ? AND post_id > ?"
_AUTHOR = _ENTRIES % ("author", "author")
_HOME = _ENTRIES % ("home", "owner")
_NOTED = """FROM {keyspace}.notifications WHERE owner_id = ? AND bucket = ? AND fact_id > ?"""

STATEMENTS = {
    "author_add": """INSERT INTO {keyspace}.author_timeline (author_id, bucket, post_id)
        VALUES (?, ?, ?) USING TIMESTAMP ?""",
    "author_remove": """DELETE FROM {keyspace}.author_timeline USING TIMESTAMP ?
        WHERE author_id = ? AND bucket = ? AND post_id = ?""",
    "author_mark": """INSERT INTO {keyspace}.author_buckets (author_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ?""",
    "author_buckets": """SELECT bucket FROM {keyspace}.author_buckets
        WHERE author_id = ? AND bucket >= ? AND bucket <= ?""",
    "author_scan": f"SELECT post_id {_AUTHOR}",
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
    "home_drop": """DELETE FROM {keyspace}.home_timeline USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ?""",
    "noted_add": """INSERT INTO {keyspace}.notifications
        (owner_id, bucket, fact_id, kind, subject, actor, at_us, number, detail)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    "noted_remove": """DELETE FROM {keyspace}.notifications USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ? AND fact_id = ?""",
    "noted_mark": """INSERT INTO {keyspace}.notification_buckets (owner_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ? AND TTL ?""",
    "noted_buckets": """SELECT bucket FROM {keyspace}.notification_buckets
        WHERE owner_id = ? AND bucket >= ? AND bucket <= ?""",
    "noted_falling": f"""SELECT fact_id, kind, subject, actor, at_us, number, detail {_NOTED}
        AND fact_id < ? ORDER BY fact_id DESC LIMIT ?""",
    "read_marker": "SELECT fact_id FROM {keyspace}.notification_marker WHERE owner_id = ?",
    "read_mark": """INSERT INTO {keyspace}.notification_marker (owner_id, fact_id)
        VALUES (?, ?) USING TIMESTAMP ?""",
}

# One timestamp for all writers: of different widths the greater is kept, and the other writer is told.
WIDTHS_ADD = "INSERT INTO {keyspace}.bucket_widths (line, days) VALUES ('{line}', {days}) USING TIMESTAMP 1"
WIDTHS_READ = "SELECT line, days FROM {keyspace}.bucket_widths WHERE line IN ('author', 'home')"


def statements(keyspace: str) -> dict[str, str]:
    return {name: text.format(keyspace=keyspace) for name, text in STATEMENTS.items()}
