"""The tables of the hot data in SQLite."""

from repositories.moving.gate import MAKE_MARKS

CACHE = (
    """CREATE TABLE IF NOT EXISTS hot_values (
        key TEXT PRIMARY KEY, stamp BLOB NOT NULL, record BLOB NOT NULL, due_at REAL NOT NULL, stored_at REAL NOT NULL,
        expires_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS hot_values_expires_at ON hot_values (expires_at)",
    """CREATE TABLE IF NOT EXISTS hot_parts (
        key TEXT NOT NULL, part TEXT NOT NULL, stamp BLOB NOT NULL, PRIMARY KEY (key, part)
    ) WITHOUT ROWID""",
    """CREATE TRIGGER IF NOT EXISTS hot_parts_go AFTER DELETE ON hot_values
        BEGIN DELETE FROM hot_parts WHERE key = old.key; END""",
    "CREATE TABLE IF NOT EXISTS hot_additions (key TEXT PRIMARY KEY, more BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER IF NOT EXISTS hot_additions_go AFTER DELETE ON hot_values
        BEGIN DELETE FROM hot_additions WHERE key = old.key; END""",
    """CREATE TABLE IF NOT EXISTS hot_leases (
        key TEXT PRIMARY KEY, lease BLOB NOT NULL, busy_until REAL NOT NULL, expires_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS hot_leases_expires_at ON hot_leases (expires_at)",
)
LIMITS = ('CREATE TABLE IF NOT EXISTS hot_limits ("key" BLOB PRIMARY KEY, "full" REAL NOT NULL) WITHOUT ROWID',)
SESSIONS = (
    MAKE_MARKS,
    """CREATE TABLE IF NOT EXISTS hot_sessions (
        digest BLOB PRIMARY KEY, account_id BLOB NOT NULL, id BLOB NOT NULL, record BLOB NOT NULL,
        forget_at REAL NOT NULL, UNIQUE (account_id, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hot_sessions_forget_at ON hot_sessions (forget_at)",
    """CREATE TABLE IF NOT EXISTS hot_seen (
        account_id BLOB NOT NULL, store TEXT NOT NULL, position TEXT NOT NULL, forget_at REAL NOT NULL,
        PRIMARY KEY (account_id, store)
    ) WITHOUT ROWID""",
)
STREAMS = (
    """CREATE TABLE IF NOT EXISTS hot_streams (
        account_id BLOB PRIMARY KEY, epoch TEXT NOT NULL, number INTEGER NOT NULL, expires_at REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hot_streams_expires_at ON hot_streams (expires_at)",
    """CREATE TABLE IF NOT EXISTS hot_stream_events (
        account_id BLOB NOT NULL REFERENCES hot_streams ON DELETE CASCADE, number INTEGER NOT NULL,
        key TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (account_id, number), UNIQUE (account_id, key)
    ) WITHOUT ROWID""",
)
VIEWS = (
    """CREATE TABLE IF NOT EXISTS hot_views (
        post_id BLOB NOT NULL, taken INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (taken, post_id)
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS hot_view_batch (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)",
)
