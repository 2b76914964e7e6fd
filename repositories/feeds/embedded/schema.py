"""SQLite's tables and statements for feeds.

Every row keeps the time of its newest write (`written`) and of its newest removal (`removed`), in microseconds since
1970, as Cassandra keeps a cell's timestamp: an entry shows while `written > removed`. `NEVER` stands for no such time.
Rows past the retention are pruned by later writes, a bounded number each.
"""

from repositories.sql import SchemaChange

NEVER = -(1 << 63)

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

AUTHOR_ADD = """INSERT INTO feeds_author (author, post, written, removed) VALUES (?, ?, ?, ?)
ON CONFLICT (author, post) DO UPDATE SET
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
AUTHOR_PAGE = """SELECT post, author FROM feeds_author
WHERE author = :key AND post > :low AND post < :high AND written > removed ORDER BY post"""
AUTHOR_SCAN = """SELECT post, author, written FROM feeds_author WHERE author = :key AND post > :low AND post < :high
AND written > removed ORDER BY post DESC LIMIT :limit"""
AUTHOR_RESTORE = """INSERT INTO feeds_author (author, post, written, removed) VALUES (?, ?, ?, ?)
ON CONFLICT (author, post) DO UPDATE SET written = max(written, excluded.written)"""
AUTHOR_REMOVE = "UPDATE feeds_author SET removed = max(removed, ?) WHERE author = ? AND post = ?"

HOME_ADD = """INSERT INTO feeds_home (owner, post, author, written, removed) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (owner, post) DO UPDATE SET
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
_HOME_SHOWN = """FROM feeds_home WHERE owner = :key AND post > :low AND post < :high AND written > removed
AND written > coalesce((SELECT at FROM feeds_trimmed WHERE owner = :key), :never)"""
HOME_PAGE = f"SELECT post, author {_HOME_SHOWN} ORDER BY post"
HOME_BY_AUTHOR = f"SELECT post {_HOME_SHOWN} AND author = :author AND written <= :at ORDER BY post DESC"
HOME_SCAN = f"SELECT post, author, written {_HOME_SHOWN} ORDER BY post DESC LIMIT :limit"
HOME_RESTORE = """INSERT INTO feeds_home (owner, post, author, written, removed) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (owner, post) DO UPDATE SET author = excluded.author, written = max(written, excluded.written)"""
HOME_REMOVE = "UPDATE feeds_home SET removed = max(removed, ?) WHERE owner = ? AND post = ?"
HOME_PRUNE = """DELETE FROM feeds_home WHERE (owner, post) IN
(SELECT owner, post FROM feeds_home WHERE post < ? LIMIT ?)"""
HOME_TRIM = """INSERT INTO feeds_trimmed (owner, at) VALUES (:owner, :at)
ON CONFLICT (owner) DO UPDATE SET at = max(at, excluded.at)"""
HOME_DROP = "DELETE FROM feeds_home WHERE owner = :owner AND written <= :at AND removed <= :at"

NOTIFICATION_ADD = """INSERT INTO feeds_notifications
(owner, id, kind, subject, actor, at_us, number, detail, noted, written, removed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, id) DO UPDATE SET noted = coalesce(noted, excluded.noted),
at_us = iif(excluded.written > written, excluded.at_us, at_us),
detail = iif(excluded.written > written, excluded.detail, detail),
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
NOTIFICATION_PRUNE = """DELETE FROM feeds_notifications WHERE (owner, id) IN
(SELECT owner, id FROM feeds_notifications WHERE id < ? LIMIT ?)"""
NOTIFICATION_LOWEST = "SELECT min(id) FROM feeds_notifications WHERE owner = ? AND noted > ?"
NOTIFICATION_PAGE = """SELECT id, kind, subject, actor, at_us, number, detail, noted FROM feeds_notifications
WHERE owner = ? AND id > ? AND id < ? AND written > removed ORDER BY id DESC LIMIT ?"""
READ_MARKER = "SELECT id FROM feeds_read WHERE owner = ?"
READ_MARK = """INSERT INTO feeds_read (owner, id) VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET id = excluded.id WHERE excluded.id > id"""
