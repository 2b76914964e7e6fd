"""SQLite's tables for feeds. `repositories.feeds.sql.statements` explains the columns.

Rows past the retention are pruned by later writes, a bounded number each.
"""

from repositories.sql import SchemaChange

TABLES = (
    """CREATE TABLE IF NOT EXISTS feeds_author (
        author BLOB NOT NULL, post BLOB NOT NULL CHECK (length(post) = 16),
        written INTEGER NOT NULL, removed INTEGER NOT NULL,
        PRIMARY KEY (author, post)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS feeds_home (
        owner BLOB NOT NULL, post BLOB NOT NULL CHECK (length(post) = 16),
        author BLOB NOT NULL CHECK (length(author) = 16),
        written INTEGER NOT NULL, removed INTEGER NOT NULL,
        PRIMARY KEY (owner, post)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS feeds_home_author ON feeds_home (owner, author)",
    "CREATE INDEX IF NOT EXISTS feeds_home_age ON feeds_home (post)",
    "CREATE TABLE IF NOT EXISTS feeds_trimmed (owner BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS feeds_notifications (
        owner BLOB NOT NULL, id BLOB NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL, actor BLOB NOT NULL,
        at_us INTEGER NOT NULL, number INTEGER NOT NULL, detail TEXT NOT NULL,
        written INTEGER NOT NULL, removed INTEGER NOT NULL, noted BLOB,
        PRIMARY KEY (owner, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS feeds_notifications_noted ON feeds_notifications (owner, noted)",
    "CREATE INDEX IF NOT EXISTS feeds_notifications_age ON feeds_notifications (id)",
    "CREATE TABLE IF NOT EXISTS feeds_read (owner BLOB PRIMARY KEY, id BLOB NOT NULL) WITHOUT ROWID",
)

# Low watermarks are kept in the relational store now.
CHANGES = (
    SchemaChange(
        "DROP TABLE feeds_floor",
        "SELECT 1 FROM sqlite_master WHERE name = 'feeds_floor'",
        ("DROP TABLE feeds_floor",),
    ),
    SchemaChange(
        "add feeds_notifications.noted",
        """SELECT 1 FROM sqlite_master WHERE name = 'feeds_notifications'
        AND NOT EXISTS (SELECT 1 FROM pragma_table_info('feeds_notifications') WHERE name = 'noted')""",
        ("ALTER TABLE feeds_notifications ADD COLUMN noted BLOB",),
    ),
)

# By table: the statement, and the most rows that one write deletes.
_PRUNE = "DELETE FROM {0} WHERE (owner, {1}) IN (SELECT owner, {1} FROM {0} WHERE {1} < ? LIMIT ?)"
PRUNE = {
    "feeds_home": (_PRUNE.format("feeds_home", "post"), 1000),
    "feeds_notifications": (_PRUNE.format("feeds_notifications", "id"), 100),
}
