"""Cassandra's tables and statements.

A partition is one timeline within one bucket of time, which bounds its size. An entry's bucket follows from the time
in its post's id. `author_buckets`, `home_buckets` and `notification_buckets` list the buckets that are not empty, so
that a page over a sparse timeline does not query empty partitions; such a marker is written before the first entry of
its bucket and expires after the last one. Tombstones are kept for `gc_grace_seconds`, ten days unless altered.
"""

import functools
import re
from datetime import timedelta
from uuid import UUID

# The default storage format of Cassandra 5.0 cannot hold expiry dates beyond 2038.
LONGEST_TTL = timedelta(days=10 * 365) // timedelta(seconds=1)
LONGEST_MARKER_TTL = timedelta(days=11 * 365) // timedelta(seconds=1)

# After this time a coordinator asks another replica. The default is a percentile of the measured latencies, or without
# any, half of the server's timeout: 2.5 seconds, which is longer than a call may take.
SPECULATIVE_RETRY = "50ms"

TABLES = {
    "bucket_widths": """CREATE TABLE IF NOT EXISTS {keyspace}.bucket_widths (
        line ascii PRIMARY KEY, days int
    )""",
    "author_timeline": """CREATE TABLE IF NOT EXISTS {keyspace}.author_timeline (
        author_id uuid, bucket int, post_id uuid, gate tinyint,
        PRIMARY KEY ((author_id, bucket), post_id)
    ) WITH CLUSTERING ORDER BY (post_id DESC)""",
    "author_buckets": """CREATE TABLE IF NOT EXISTS {keyspace}.author_buckets (
        author_id uuid, bucket int,
        PRIMARY KEY (author_id, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
    "home_timeline": """CREATE TABLE IF NOT EXISTS {keyspace}.home_timeline (
        owner_id uuid, bucket int, post_id uuid, author_id uuid, gate tinyint,
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
        owner_id uuid, bucket int, activity_id uuid,
        kind ascii, subject uuid, actor uuid, at_us bigint, number int, detail text, noted uuid, gate tinyint,
        PRIMARY KEY ((owner_id, bucket), activity_id)
    ) WITH CLUSTERING ORDER BY (activity_id DESC) AND default_time_to_live = {ttl} AND compaction = {{
        'class': 'TimeWindowCompactionStrategy',
        'compaction_window_unit': 'DAYS', 'compaction_window_size': {window_days}
    }}""",
    "notification_buckets": """CREATE TABLE IF NOT EXISTS {keyspace}.notification_buckets (
        owner_id uuid, bucket int,
        PRIMARY KEY (owner_id, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
    "late_notifications": """CREATE TABLE IF NOT EXISTS {keyspace}.late_notifications (
        owner_id uuid, noted uuid, activity_id uuid,
        PRIMARY KEY (owner_id, noted, activity_id)
    ) WITH CLUSTERING ORDER BY (noted DESC, activity_id DESC) AND default_time_to_live = {ttl}""",
    "read_markers": """CREATE TABLE IF NOT EXISTS {keyspace}.read_markers (
        owner_id uuid PRIMARY KEY, activity_id uuid, gate tinyint
    )""",
    # The last table: if it exists, the others have been given their gates.
    "moving_marks": """CREATE TABLE IF NOT EXISTS {keyspace}.moving_marks (
        role ascii PRIMARY KEY, state ascii, epoch int, url text, move ascii, closing ascii
    )""",
}
# The tables whose writes mention the column `gate`, which is never set; see `moving_gate.py`.
GATE_COLUMN = """SELECT column_name FROM system_schema.columns
WHERE keyspace_name = %s AND table_name = %s AND column_name = 'gate'"""
GATED = "author_timeline", "home_timeline", "notifications", "read_markers"

_ENTRIES = "FROM {keyspace}.%s_timeline WHERE %s_id = ? AND bucket = ? AND post_id > ?"
_AUTHOR = _ENTRIES % ("author", "author")
_HOME = _ENTRIES % ("home", "owner")
_NOTIFICATIONS = """FROM {keyspace}.notifications WHERE owner_id = ? AND bucket = ? AND activity_id > ?"""

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
    "author_descending": f"SELECT post_id {_AUTHOR} AND post_id < ? ORDER BY post_id DESC LIMIT ?",
    "author_ascending": f"SELECT post_id {_AUTHOR} AND post_id < ? ORDER BY post_id ASC LIMIT ?",
    "home_add": """INSERT INTO {keyspace}.home_timeline (owner_id, bucket, post_id, author_id)
        VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    "home_remove": """DELETE FROM {keyspace}.home_timeline USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ? AND post_id = ?""",
    "home_mark": """INSERT INTO {keyspace}.home_buckets (owner_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ? AND TTL ?""",
    "home_buckets": """SELECT bucket FROM {keyspace}.home_buckets
        WHERE owner_id = ? AND bucket >= ? AND bucket <= ?""",
    "home_descending": f"SELECT post_id, author_id {_HOME} AND post_id < ? ORDER BY post_id DESC LIMIT ?",
    "home_ascending": f"SELECT post_id, author_id {_HOME} AND post_id < ? ORDER BY post_id ASC LIMIT ?",
    # Ids as bytes: the driver takes four times as long to decode a row of two UUIDs.
    "home_together": """SELECT uuid_as_blob(post_id), uuid_as_blob(author_id) FROM {keyspace}.home_timeline
        WHERE owner_id = ? AND bucket IN ? AND post_id > ? AND post_id < ?
        ORDER BY post_id DESC PER PARTITION LIMIT ? LIMIT ?""",
    "home_scan": f"SELECT post_id, author_id, WRITETIME(author_id) {_HOME}",
    "home_drop": """DELETE FROM {keyspace}.home_timeline USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ?""",
    "notification_add": """INSERT INTO {keyspace}.notifications
        (owner_id, bucket, activity_id, kind, subject, actor, at_us, number, detail)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    # The first `noted` wins: an earlier one has a higher timestamp. All of these are below that of any removal.
    "notification_note": """BEGIN UNLOGGED BATCH
        INSERT INTO {keyspace}.notifications
        (owner_id, bucket, activity_id, kind, subject, actor, at_us, number, detail)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?;
        INSERT INTO {keyspace}.notifications (owner_id, bucket, activity_id, noted)
        VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?;
        APPLY BATCH""",
    "late_add": """INSERT INTO {keyspace}.late_notifications (owner_id, noted, activity_id)
        VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    "late_notifications": """SELECT activity_id FROM {keyspace}.late_notifications
        WHERE owner_id = ? AND noted > ? LIMIT 3000""",
    "notification_remove": """DELETE FROM {keyspace}.notifications USING TIMESTAMP ?
        WHERE owner_id = ? AND bucket = ? AND activity_id = ?""",
    "notification_mark": """INSERT INTO {keyspace}.notification_buckets (owner_id, bucket)
        VALUES (?, ?) USING TIMESTAMP ? AND TTL ?""",
    "notification_buckets": """SELECT bucket FROM {keyspace}.notification_buckets
        WHERE owner_id = ? AND bucket >= ? AND bucket <= ?""",
    "notification_descending": f"""SELECT activity_id, kind, subject, actor, at_us, number, detail, noted
        {_NOTIFICATIONS} AND activity_id < ? ORDER BY activity_id DESC LIMIT ?""",
    # With `notification_add` in place of `notification_note`, in a batch with the notes for a move.
    "notification_noted": """INSERT INTO {keyspace}.notifications (owner_id, bucket, activity_id, noted)
        VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?""",
    "author_one": """SELECT author_id, post_id FROM {keyspace}.author_timeline
        WHERE author_id = ? AND bucket = ? AND post_id = ?""",
    "home_one": """SELECT owner_id, post_id, author_id, WRITETIME(author_id) FROM {keyspace}.home_timeline
        WHERE owner_id = ? AND bucket = ? AND post_id = ?""",
    "notification_one": """SELECT owner_id, activity_id, kind, subject, actor, at_us, number, detail, noted,
        WRITETIME(kind) FROM {keyspace}.notifications WHERE owner_id = ? AND bucket = ? AND activity_id = ?""",
    "read_marker_one": "SELECT owner_id, activity_id FROM {keyspace}.read_markers WHERE owner_id = ?",
    "read_marker": "SELECT activity_id FROM {keyspace}.read_markers WHERE owner_id = ?",
    "read_mark": """INSERT INTO {keyspace}.read_markers (owner_id, activity_id)
        VALUES (?, ?) USING TIMESTAMP ?""",
}

# Statements without paging, which Cassandra does not support for an order over several partitions.
AT_ONCE = ("home_together",)

# What writes change during a move: the ids, and the time of a removal. The first move creates the table.
CHANGES = """CREATE TABLE IF NOT EXISTS {keyspace}.moving_changes (
    slot int, seq timeuuid, kind ascii, ids frozen<list<uuid>>, bucket int, stamp bigint, gate tinyint,
    PRIMARY KEY (slot, seq)
)"""
MARK_READ = "SELECT state, epoch, url, move, closing FROM {keyspace}.moving_marks WHERE role = ?"
MARKS_THERE = """SELECT table_name FROM system_schema.tables
WHERE keyspace_name = %s AND table_name = 'moving_marks'"""
CHANGE_ADD = """INSERT INTO {keyspace}.moving_changes (gate, slot, seq, kind, ids, bucket, stamp)
    VALUES (?, ?, now(), ?, ?, ?, ?)"""
CHANGES_READ = """SELECT slot, seq, kind, ids, bucket, stamp FROM {keyspace}.moving_changes
    WHERE slot = ? AND seq > ?"""

# One timestamp for all writers: of two different widths the greater wins, and the other writer reads it and fails.
WIDTHS_ADD = "INSERT INTO {keyspace}.bucket_widths (line, days) VALUES ('{line}', {days}) USING TIMESTAMP 1"
WIDTHS_READ = "SELECT line, days FROM {keyspace}.bucket_widths WHERE line IN ('author', 'home')"


def statements(keyspace: str) -> dict[str, str]:
    return {name: text.format(keyspace=keyspace) for name, text in STATEMENTS.items()}


_NIL = UUID(int=0)


@functools.cache
def gated(text: str) -> str:
    """The statement with a mention of the gate.

    An INSERT takes the gate's value as its first parameter, which is left unset. A DELETE becomes a statement to send
    with the original, with the values of one of its rows: it deletes the gate of that row, with the same timestamp.
    """
    if text.startswith("DELETE"):
        mention = text.replace("DELETE FROM", "DELETE gate FROM")
        if "bucket" in mention and "post_id" not in mention and "activity_id" not in mention:
            mention += f" AND post_id = {_NIL}"
        return mention
    return re.sub(r"\((.*?VALUES )\(", r"(gate, \1(?, ", text, count=1, flags=re.DOTALL)
