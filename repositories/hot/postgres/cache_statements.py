"""The SQL of the cache in PostgreSQL.

The time from which a row may be swept, after its value and its lease have ended, is rounded up to steps of some
minutes, so that the index on it seldom changes. Statements lock several rows in the order of their keys.
"""

_STEP = 300
_SWEPT = 1000

_HELD = "c.stamp, c.record, c.due_at - now_seconds(), now_seconds() - c.stored_at, c.more"
_LIVE = "c.record IS NOT NULL AND c.gone_at > now_seconds()"
_LOCKED = "SELECT key FROM hot_cache WHERE key = ANY (:keys::bytea[]) ORDER BY key FOR UPDATE"


def _step_after(seconds: str) -> str:
    return f"((now_seconds() + {seconds}) / {_STEP} + 1)::bigint * {_STEP}"


READ = f"""SELECT e.epoch, c.key, {_HELD} FROM hot_epoch AS e
    LEFT JOIN hot_cache AS c ON c.key = ANY (:keys::bytea[]) AND c.epoch = e.epoch AND {_LIVE}
    WHERE e.id = 1"""  # noqa: S608  our own text
# The value, and whether one of its parts has changed.
WHOLE = f"""SELECT e.epoch, c.key, EXISTS (
        SELECT 1 FROM unnest(c.parts, c.stamps) AS p (part, stamp) WHERE NOT EXISTS (
            SELECT 1 FROM hot_cache AS h WHERE h.key = p.part AND h.stamp = p.stamp AND h.epoch = e.epoch
                AND h.record IS NOT NULL AND h.gone_at > now_seconds())
    ), {_HELD} FROM hot_epoch AS e
    LEFT JOIN hot_cache AS c ON c.key = :key AND c.epoch = e.epoch AND {_LIVE}
    WHERE e.id = 1"""  # noqa: S608  our own text
FORGET = "UPDATE hot_cache SET record = NULL WHERE key = :key AND stamp = :stamp RETURNING 1"
FIRST_EPOCH = "INSERT INTO hot_epoch VALUES (1, ?) ON CONFLICT (id) DO NOTHING RETURNING 1"
# A lease is given if nobody is loading and nothing but the value seen is stored. A new row has the stamp that was seen.
LEASE = f"""WITH asked AS (SELECT * FROM unnest(:keys::bytea[], :seen::bytea[]) AS a (key, seen)),
    taken AS (
        INSERT INTO hot_cache AS c (key, epoch, stamp, lease, busy_until, lease_until, sweep_at)
        SELECT a.key, e.epoch, a.seen, :token::bytea, now_seconds() + :lease, now_seconds() + :generation,
            {_step_after(":generation")}
        FROM asked AS a CROSS JOIN hot_epoch AS e WHERE e.id = 1 ORDER BY a.key
        ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch,
            record = CASE WHEN c.epoch = excluded.epoch AND c.gone_at > now_seconds() THEN c.record END,
            lease = CASE WHEN c.epoch = excluded.epoch AND c.lease_until > now_seconds()
                THEN coalesce(c.lease, excluded.lease) ELSE excluded.lease END,
            busy_until = excluded.busy_until, lease_until = excluded.lease_until,
            sweep_at = greatest(c.sweep_at, excluded.sweep_at)
        WHERE (c.epoch <> excluded.epoch OR c.lease IS NULL OR c.busy_until <= now_seconds())
            AND (c.epoch <> excluded.epoch OR c.record IS NULL OR c.gone_at <= now_seconds()
                OR c.stamp = excluded.stamp)
        RETURNING key, lease)
    SELECT e.epoch, a.key, t.lease, {_HELD} FROM hot_epoch AS e CROSS JOIN asked AS a
    LEFT JOIN taken AS t ON t.key = a.key
    LEFT JOIN hot_cache AS c ON t.key IS NULL AND c.key = a.key AND c.epoch = e.epoch AND c.stamp <> a.seen AND {_LIVE}
    WHERE e.id = 1"""  # noqa: S608  our own text
FILL = f"""WITH locked AS ({_LOCKED}),
    made AS (
        SELECT p.owner, array_agg(p.part) AS parts, array_agg(p.stamp) AS stamps, bool_and(h.key IS NOT NULL) AS whole
        FROM unnest(:owners::bytea[], :parts::bytea[], :stamps::bytea[]) AS p (owner, part, stamp)
        LEFT JOIN hot_cache AS h ON h.key = p.part AND h.stamp = p.stamp AND h.record IS NOT NULL
            AND h.gone_at > now_seconds() AND h.epoch = (SELECT epoch FROM hot_epoch WHERE id = 1)
        GROUP BY p.owner),
    f AS (
        SELECT given.*, coalesce(m.parts, '{{}}') AS parts, coalesce(m.stamps, '{{}}') AS stamps,
            given.record IS NOT NULL AND coalesce(m.whole, true) AS stored
        FROM unnest(:keys::bytea[], :leases::bytea[], :records::bytea[], :fresh::float8[], :lasts::float8[])
            AS given (key, lease, record, fresh, lasts)
        JOIN locked AS l ON l.key = given.key LEFT JOIN made AS m ON m.owner = given.key)
    UPDATE hot_cache AS c SET lease = NULL,
        record = CASE WHEN f.stored THEN f.record ELSE c.record END,
        stamp = CASE WHEN f.stored THEN f.lease ELSE c.stamp END,
        more = CASE WHEN f.stored THEN '' ELSE c.more END,
        parts = CASE WHEN f.stored THEN f.parts ELSE c.parts END,
        stamps = CASE WHEN f.stored THEN f.stamps ELSE c.stamps END,
        due_at = CASE WHEN f.stored THEN now_seconds() + f.fresh ELSE c.due_at END,
        stored_at = CASE WHEN f.stored THEN now_seconds() ELSE c.stored_at END,
        gone_at = CASE WHEN f.stored THEN now_seconds() + f.lasts ELSE c.gone_at END,
        sweep_at = greatest(c.sweep_at, {_step_after("f.lasts")})
    FROM f WHERE c.key = f.key AND c.lease = f.lease AND c.lease_until > now_seconds()
        AND c.epoch = (SELECT epoch FROM hot_epoch WHERE id = 1)
    RETURNING c.key, f.stored"""  # noqa: S608  our own text
RELEASE = f"""WITH locked AS ({_LOCKED})
    UPDATE hot_cache AS c SET lease = NULL
    FROM unnest(:keys::bytea[], :leases::bytea[]) AS r (key, lease) JOIN locked AS l ON l.key = r.key
    WHERE c.key = r.key AND c.lease = r.lease RETURNING 1"""  # noqa: S608  our own text
DROP = f"DELETE FROM hot_cache WHERE key IN ({_LOCKED}) RETURNING 1"  # noqa: S608  our own text
EXTEND = f"""UPDATE hot_cache SET lease = NULL, stamp = :token,
    record = CASE WHEN octet_length(more) <= :room THEN record END,
    more = CASE WHEN octet_length(more) <= :room THEN more || :more::bytea ELSE '' END
    WHERE key IN ({_LOCKED}) RETURNING 1"""  # noqa: S608  our own text
VOID = """INSERT INTO hot_epoch AS e VALUES (1, :token) ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch
    WHERE :seen::bytea = '' OR e.epoch = :seen RETURNING 1"""
SWEEP = f"""DELETE FROM hot_cache WHERE key IN (
    SELECT key FROM hot_cache WHERE sweep_at <= now_seconds() LIMIT {_SWEPT} FOR UPDATE SKIP LOCKED) RETURNING 1"""  # noqa: S608  our own text
