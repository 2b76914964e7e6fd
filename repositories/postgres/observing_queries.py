"""The queries of `observing.py`, for PostgreSQL from version 14 on. Each row is a name, figures, and words."""

# The whole server. Without `pg_monitor` it hides the sessions of other users, but not their number.
SERVER = """
SELECT 'server', json_build_object(
  'connections', used, 'connections_limit', allowed, 'connections_share', used / allowed,
  'cached_share', blks_hit::float8 / greatest(blks_hit + blks_read, 1), 'blocks_read', blks_read,
  'database_bytes', pg_database_size(current_database()),
  'temporary_bytes_a_day', temp_bytes / days, 'deadlocks_a_day', deadlocks / days,
  'oldest_id_age', (SELECT max(age(datfrozenxid)) FROM pg_database)
), json_build_object(
  'autovacuum', current_setting('autovacuum'), 'fsync', current_setting('fsync'),
  'full_page_writes', current_setting('full_page_writes'), 'shared_buffers', current_setting('shared_buffers')
) FROM pg_stat_database, LATERAL (
  SELECT greatest(extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))::float8 / 86400, 1)
    AS days,
  (SELECT sum(numbackends) FROM pg_stat_database)::float8 AS used,
  (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int)::float8 AS allowed
) AS more WHERE datname = current_database()
"""
LEVELS = """
SELECT 'connections', json_build_object('value', (SELECT sum(numbackends) FROM pg_stat_database), 'limit',
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int), json_build_object()
UNION ALL
SELECT 'bytes', json_build_object('value', pg_database_size(current_database())), json_build_object()
"""
# What holds the oldest snapshot: no row that died after it was taken can be removed from any table. A slot says since
# when it is unused from version 17 on.
_HOLDERS = """
  SELECT 'session ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') AS holder, xact_start AS began,
    greatest(age(backend_xmin), age(backend_xid)) AS transactions
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
  UNION ALL SELECT 'prepared transaction ' || gid, prepared, age(transaction)
  FROM pg_prepared_xacts WHERE database = current_database()
  UNION ALL SELECT 'replication slot ' || slot_name,
    CASE WHEN NOT active THEN (to_jsonb(s) ->> 'inactive_since')::timestamptz END, age(xmin)
  FROM pg_replication_slots s WHERE xmin IS NOT NULL
  UNION ALL SELECT 'standby ' || application_name, NULL, age(backend_xmin)
  FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
"""
# Scans are counted per day, since a backup reads each table once. Dead rows are held if a vacuum after the oldest
# snapshot has left them. The needed size is an estimate from the statistics of ANALYZE.
TABLES = f"""
WITH oldest AS (
  SELECT * FROM ({_HOLDERS}) AS holders WHERE transactions IS NOT NULL ORDER BY transactions DESC LIMIT 1
), watched AS (
  SELECT greatest(extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))::float8 / 86400, 1)
    AS days FROM pg_stat_database WHERE datname = current_database()
), widths AS (
  SELECT schemaname, tablename AS relname, sum(avg_width * (1 - null_frac)) AS width
  FROM pg_stats WHERE NOT inherited GROUP BY 1, 2
)
SELECT relid::regclass::text, json_build_object(
  'rows', greatest(n_live_tup, c.reltuples), 'dead_rows', n_dead_tup,
  'dead_share', n_dead_tup::float8 / greatest(n_live_tup + n_dead_tup, 1),
  'unvacuumed_seconds', extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum, pg_postmaster_start_time())),
  'unanalyzed_rows', n_mod_since_analyze,
  'unanalyzed_share', n_mod_since_analyze::float8 / greatest(n_live_tup, 1),
  'scans', seq_scan, 'scanned_rows', seq_tup_read,
  'scans_a_day', seq_scan / days, 'rows_of_a_scan', seq_tup_read::float8 / greatest(seq_scan, 1),
  'autovacuum', (vacuums AND current_setting('autovacuum')::bool)::int, 'excepted', (NOT vacuums)::int,
  'held_seconds', CASE WHEN greatest(last_vacuum, last_autovacuum) > began THEN extract(epoch FROM now() - began) END,
  'bytes', bytes, 'empty_bytes', bytes - needed, 'empty_share', (bytes - needed) / greatest(bytes, 1)
), json_build_object('holder', holder)
FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = relid CROSS JOIN watched LEFT JOIN oldest ON true
LEFT JOIN widths w ON (w.schemaname, w.relname) = (t.schemaname, t.relname), LATERAL (
  SELECT coalesce(max(option_value) FILTER (WHERE option_name = 'autovacuum_enabled'), 'on')::bool AS vacuums,
    coalesce(max(option_value) FILTER (WHERE option_name = 'fillfactor'), '100')::float8 / 100 AS filled
  FROM pg_options_to_table(c.reloptions)
) AS options, LATERAL (
  SELECT pg_relation_size(relid)::float8 AS bytes,
    (greatest(n_live_tup, c.reltuples) + n_dead_tup) * (width + 36) / filled AS needed
) AS sizes WHERE relkind = 'r'
"""  # noqa: S608  of constants
# Indexes that enforce a constraint are needed however often they are read. PostgreSQL does not keep when an index was
# made, but in which transaction.
INDEXES = """
SELECT indexrelid::regclass::text, json_build_object(
  'watched_seconds', (SELECT extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))
    FROM pg_stat_database WHERE datname = current_database()), 'transactions', age(i.xmin),
  'reads', idx_scan, 'bytes', pg_relation_size(indexrelid), 'valid', indisvalid::int,
  'promises', (indisunique OR indisexclusion OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
    OR EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid))::int,
  'repeats', (SELECT count(*) FROM pg_index o WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid
    AND o.indkey::text = i.indkey::text AND o.indclass::text = i.indclass::text
    AND o.indoption::text = i.indoption::text AND o.indcollation::text = i.indcollation::text
    AND coalesce(pg_get_expr(o.indexprs, o.indrelid), '') = coalesce(pg_get_expr(i.indexprs, i.indrelid), '')
    AND coalesce(pg_get_expr(o.indpred, o.indrelid), '') = coalesce(pg_get_expr(i.indpred, i.indrelid), ''))
), json_build_object('table', relid::regclass::text, 'definition', pg_get_indexdef(indexrelid), 'plain', indexrelname)
FROM pg_stat_user_indexes JOIN pg_index i USING (indexrelid)
"""
# Without the texts of statements, which may contain values.
SESSIONS = """
WITH waiting AS (
  SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker, clock_timestamp() - query_start AS since
  FROM pg_stat_activity WHERE wait_event_type = 'Lock'
)
SELECT pid::text, json_build_object(
  'transaction_seconds', extract(epoch FROM clock_timestamp() - xact_start),
  'idle_seconds', CASE WHEN state LIKE 'idle in transaction%'
    THEN extract(epoch FROM clock_timestamp() - state_change) END,
  'statement_seconds', CASE WHEN state = 'active' THEN extract(epoch FROM clock_timestamp() - query_start) END,
  'blocked', (SELECT count(DISTINCT w.pid) FROM waiting w WHERE w.blocker = a.pid),
  'blocked_seconds', (SELECT extract(epoch FROM max(since)) FROM waiting w WHERE w.blocker = a.pid)
), json_build_object('user', usename, 'application', application_name, 'state', state)
FROM pg_stat_activity a
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
# A standby with a slot keeps its snapshot there.
REPLICAS = """
SELECT coalesce(nullif(application_name, ''), 'standby') || ' ' || coalesce(host(client_addr), 'local'),
  json_build_object('behind_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn),
    'behind_seconds', extract(epoch FROM replay_lag), 'held_transactions', coalesce(age(backend_xmin), age(xmin))
  ), json_build_object('state', state)
FROM pg_stat_replication LEFT JOIN pg_replication_slots ON active_pid = pid
"""
SLOTS = """
SELECT slot_name, json_build_object('active', active::int,
  'kept_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 'lost', (wal_status = 'lost')::int,
  'held_transactions', greatest(age(xmin), age(catalog_xmin))), json_build_object()
FROM pg_replication_slots
"""
# In all databases of the server: Quartet prepares no transaction.
PREPARED = """
SELECT gid, json_build_object('seconds', extract(epoch FROM now() - prepared), 'held_transactions', age(transaction),
  'locks', (SELECT count(*) FROM pg_locks own JOIN pg_locks held USING (virtualtransaction)
    WHERE own.transactionid = p.transaction AND held.locktype = 'relation' AND own.pid IS NULL AND held.pid IS NULL)
), json_build_object('user', owner, 'database', database)
FROM pg_prepared_xacts p
"""
# Each role's share of all block reads, and the size of its tables, as of their last vacuum.
SHARES = """
SELECT role, json_build_object('read_share', (sum(blocks) / greatest(sum(sum(blocks)) OVER (), 1))::float8,
  'blocks', sum(blocks), 'bytes', sum(bytes)), json_build_object()
FROM (
  SELECT CASE WHEN c.relname ~ '^(documents|feeds|hot)_' THEN split_part(c.relname, '_', 1) ELSE 'relational' END
    AS role,
    coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0)
      + coalesce(idx_blks_hit, 0) AS blocks,
    relpages::bigint * current_setting('block_size')::int AS bytes
  FROM pg_statio_user_tables JOIN pg_class c ON c.oid = relid
) AS tables GROUP BY role
"""
EXTENSION = """
SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE extname = 'pg_stat_statements'
"""
# Only the statements whose values the extension replaces by placeholders.
STATEMENTS = """
SELECT queryid::text, json_build_object('calls', calls, 'mean_seconds', mean_exec_time / 1000,
  'total_seconds', total_exec_time / 1000,
  'share', total_exec_time / greatest((SELECT sum(total_exec_time) FROM {schema}.pg_stat_statements), 1e-9)
), json_build_object('text', left(regexp_replace(query, '\\s+', ' ', 'g'), 300))
FROM {schema}.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND query ~* '^\\s*(select|insert|update|delete|with|merge)\\M'
ORDER BY total_exec_time DESC LIMIT 50
"""
IS_MONITOR = "SELECT pg_has_role(current_user, 'pg_monitor', 'member'), current_user"
# Only on tables of the search path: a copy of them in another schema has indexes of the same names.
EXISTING = "SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND pg_table_is_visible(oid)"
