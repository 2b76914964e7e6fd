#!/usr/bin/env bash
# Expected: With a busy timeout of two seconds `PRAGMA journal_mode=WAL` waits for another connection's transaction as
# an INSERT does, so processes that open a new file at the same moment wait for one another.
# Observed: It waits two seconds for one that reads, and not at all for one that writes: "database is locked" at once,
# whatever the timeout. The same pragma on a file that is already in WAL mode succeeds beside a writer. So the first
# start of several workers fails sometimes, and no later one does. (Described in pull request 102 of
# russellromney/honker.)
source "$(dirname "$0")/start.sh"
install apsw==3.50.4.0
FOLDER="$folder" python - <<'PYTHON'
import os
import time

import apsw

SECONDS = 2


def opened(name):
    connection = apsw.Connection(f"{os.environ['FOLDER']}/{name}.db")
    connection.set_busy_timeout(SECONDS * 1000)
    return connection


def seconds_beside(other, statement, journal="DELETE"):
    """How long a second connection waits before it is told that the database is locked; None where it succeeds."""
    name = f"{journal}-{len(os.listdir(os.environ['FOLDER']))}"
    first, second = opened(name), opened(name)
    first.execute(f"PRAGMA journal_mode={journal}; CREATE TABLE t (n); INSERT INTO t VALUES (1)").fetchall()
    first.execute(other).fetchall()
    began = time.monotonic()
    try:
        second.execute(statement).fetchall()
    except apsw.BusyError:
        return time.monotonic() - began
    return None


def shown(seconds):
    return "succeeds" if seconds is None else f"is refused after {seconds:.1f} s"


print("SQLite", apsw.sqlite_lib_version(), "- apsw", apsw.apsw_version(), f"- a busy timeout of {SECONDS} s")
reading, writing = "BEGIN; SELECT n FROM t", "BEGIN IMMEDIATE"
to_wal, insert = "PRAGMA journal_mode=WAL", "INSERT INTO t VALUES (2)"
found = {
    "INSERT beside a writer": seconds_beside(writing, insert),
    "the switch to WAL beside a reader": seconds_beside(reading, to_wal),
    "the switch to WAL beside a writer": seconds_beside(writing, to_wal),
    "the same where WAL is on": seconds_beside(writing, to_wal, journal="WAL"),
}
for name, seconds in found.items():
    print(f"{name}: {shown(seconds)}")
waits, waits_for_reader, at_once, none = found.values()
assert waits > 1.5 and waits_for_reader > 1.5 and at_once < 0.5 and none is None, "the behaviour has changed"
PYTHON
