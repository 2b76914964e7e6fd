#!/usr/bin/env bash
# Expected: Renaming one column in alembic's batch mode on SQLite ("move and copy") leaves the other columns unchanged,
# and warns about what it cannot preserve, as it does for unnamed CHECK constraints.
# Observed: Without a warning it drops COLLATE NOCASE, so that a unique column accepts "ANN@x" beside "ann@x" from then
# on; AUTOINCREMENT, so that the id of a deleted row is used again; and every trigger of the table. The new table is
# created from the schema that SQLAlchemy reflects, which contains none of these. SQLite's own `ALTER TABLE ... RENAME
# COLUMN` preserves them all.
source "$(dirname "$0")/start.sh"
install alembic==1.20.1 sqlalchemy==2.1.9
python -W error - <<'PYTHON'
import sqlite3

import alembic
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

print("alembic", alembic.__version__, "- SQLAlchemy", sa.__version__, "- SQLite", sqlite3.sqlite_version)
SCHEMA = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT COLLATE NOCASE UNIQUE, nick TEXT)",
    "CREATE TABLE log (line TEXT)",
    "CREATE TRIGGER logged AFTER INSERT ON people BEGIN INSERT INTO log VALUES (new.address); END",
    "INSERT INTO people (address) VALUES ('ann@x'), ('bob@x')",
    "DELETE FROM people WHERE address = 'bob@x'",
    "DELETE FROM log",
)


def by_alembic(connection):
    with Operations(MigrationContext.configure(connection)).batch_alter_table("people") as batch:
        batch.alter_column("nick", new_column_name="nickname")


def by_sqlite(connection):
    connection.exec_driver_sql("ALTER TABLE people RENAME COLUMN nick TO nickname")


def afterwards(rename):
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as connection:
        for statement in SCHEMA:
            connection.exec_driver_sql(statement)
        rename(connection)
    with engine.begin() as connection:
        new = connection.exec_driver_sql("INSERT INTO people (address) VALUES ('eve@x') RETURNING id").scalar()
        logged = connection.exec_driver_sql("SELECT count(*) FROM log").scalar()
        try:
            connection.exec_driver_sql("INSERT INTO people (address) VALUES ('ANN@x')")
            second = "taken"
        except sa.exc.IntegrityError:
            second = "refused"
    print(f"{rename.__name__:10}: ANN@x beside ann@x is {second}, id after the deleted 2 is {new}, trigger fired {logged} times")
    return second, new, logged


assert afterwards(by_sqlite) == ("refused", 3, 1), "SQLite's own behaviour has changed"
assert afterwards(by_alembic) == ("taken", 2, 0), "the behaviour has changed"
PYTHON
