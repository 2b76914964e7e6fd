"""PostgreSQL's tables for feeds. `repositories.feeds.sql.statements` explains the columns.

Tables with a retention are partitioned by the time in their ids, and rows expire with their partition: deleting them
would cost a hundred times as much and leave the files as large. Author timelines, with a row per post, have no
retention.
"""

TABLES = (
    """CREATE TABLE IF NOT EXISTS feeds_author (
        author uuid, post uuid, written bigint NOT NULL, removed bigint NOT NULL, PRIMARY KEY (author, post)
    )""",
    """CREATE TABLE IF NOT EXISTS feeds_home (
        owner uuid, post uuid, author uuid NOT NULL, written bigint NOT NULL, removed bigint NOT NULL,
        PRIMARY KEY (owner, post)
    ) PARTITION BY RANGE (post)""",
    "CREATE TABLE IF NOT EXISTS feeds_trimmed (owner uuid PRIMARY KEY, at bigint NOT NULL)",
    """CREATE TABLE IF NOT EXISTS feeds_notifications (
        owner uuid, id uuid, kind text NOT NULL, subject uuid NOT NULL, actor uuid NOT NULL, at_us bigint NOT NULL,
        number integer NOT NULL, detail text NOT NULL, noted uuid, written bigint NOT NULL, removed bigint NOT NULL,
        PRIMARY KEY (owner, id)
    ) PARTITION BY RANGE (id)""",
    "CREATE INDEX IF NOT EXISTS feeds_notifications_noted ON feeds_notifications (owner, noted)",
    "CREATE TABLE IF NOT EXISTS feeds_read (owner uuid PRIMARY KEY, id uuid NOT NULL)",
)
PARTITIONED = "feeds_home", "feeds_notifications"

# The types of columns that are not ids, for statements that write many rows.
TYPES = {
    **dict.fromkeys(("written", "removed", "at_us"), "bigint"),
    **dict.fromkeys(("kind", "detail"), "text"),
    "number": "integer",
}
