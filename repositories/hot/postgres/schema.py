"""The tables of the hot data in PostgreSQL. Those whose loss costs nothing but time are unlogged."""

from repositories.moving.gate import MAKE_MARKS

CACHE = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_cache (
        key bytea PRIMARY KEY, epoch bytea NOT NULL, stamp bytea NOT NULL, record bytea STORAGE EXTERNAL,
        more bytea NOT NULL DEFAULT '', parts bytea[] NOT NULL DEFAULT '{}', stamps bytea[] NOT NULL DEFAULT '{}',
        due_at float8, stored_at float8, gone_at float8, lease bytea, busy_until float8, lease_until float8,
        sweep_at float8 NOT NULL
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_cache_sweep_at ON hot_cache (sweep_at)",
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_epoch (id bigint PRIMARY KEY CHECK (id = 1), epoch bytea NOT NULL)
        WITH (fillfactor = 50)""",
)
# `full` has no index: each call changes it, and would have to write an entry in every index.
LIMITS = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_limits ("key" bytea PRIMARY KEY, "full" float8 NOT NULL)
        WITH (fillfactor = 50)""",
)
# The free half of each page is for new versions of its rows, which then need no new index entries.
SESSIONS = (
    MAKE_MARKS,
    """CREATE TABLE IF NOT EXISTS hot_sessions (
        digest bytea PRIMARY KEY, account_id bytea NOT NULL, id bytea NOT NULL, record bytea NOT NULL,
        forget_at float8 NOT NULL, UNIQUE (account_id, id)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_sessions_forget_at ON hot_sessions (forget_at)",
    """CREATE TABLE IF NOT EXISTS hot_seen (
        account_id bytea NOT NULL, store text COLLATE "C" NOT NULL, position text COLLATE "C" NOT NULL,
        forget_at float8 NOT NULL, PRIMARY KEY (account_id, store)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_seen_forget_at ON hot_seen (forget_at)",
)
# Keys and names are any text, also with NUL. Whoever deletes a stream that has ended deletes its events as well.
STREAMS = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_streams (
        account_id bytea PRIMARY KEY, epoch text NOT NULL, number bigint NOT NULL, expires_at float8 NOT NULL
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_streams_expires_at ON hot_streams (expires_at)",
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_stream_events (
        account_id bytea NOT NULL, number bigint NOT NULL, key bytea NOT NULL, name bytea NOT NULL,
        data bytea NOT NULL, PRIMARY KEY (account_id, number), UNIQUE (account_id, key)
    )""",
)
# The last number is in a logged table: it must rise even after the counts are lost.
VIEWS = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_views (
        post_id bytea NOT NULL, taken bigint NOT NULL, n bigint NOT NULL, PRIMARY KEY (taken, post_id)
    ) WITH (fillfactor = 50)""",
    "CREATE TABLE IF NOT EXISTS hot_view_batch (id bigint PRIMARY KEY CHECK (id = 1), number bigint NOT NULL)",
)
