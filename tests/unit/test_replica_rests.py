"""Which reads avoid a replica after a read has failed there, and after which errors."""

import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from pymongo.errors import AutoReconnect, NetworkTimeout
from sqlalchemy import text

from repositories import read_your_writes
from repositories.deadline import within
from repositories.documents.mongo.errors import ROLE as DOCUMENTS
from repositories.documents.mongo.secondaries import LATEST, Secondaries
from repositories.errors import Contention, StoreError, Unavailable
from repositories.postgres.hosts import Hosts
from repositories.postgres.target import conninfo_of
from repositories.read_your_writes import Elsewhere
from repositories.relational.postgres.positions import LogState
from repositories.relational.postgres.replicas import Replicas
from tests.unit.test_read_your_writes import NOBODY, STARTED

TARGET = conninfo_of("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize(
    ("error", "seconds", "serves"),
    [
        # The time limit for replicas passed; the read conflicted with the replay; the connection broke.
        (Unavailable("relational", "too slow"), 0, [True]),
        (Contention("conflict with recovery"), 60, [True]),
        (Unavailable("relational", "closed"), 60, [False]),
    ],
)
def test_a_slow_read_does_not_keep_other_kinds_from_a_standby(
    error: StoreError, seconds: float, serves: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.relational.postgres.replicas.REST_SECONDS", 3600)
    replicas: Any = Replicas([TARGET], Hosts(TARGET, "relational"), 1)
    # Without its background threads.
    replicas._closed = threading.Event()
    [node] = replicas._nodes

    def fail(*_: object) -> None:
        raise error

    node.runner = SimpleNamespace(rows=fail)
    node.state = LogState(STARTED, 1, 100, time.monotonic() + 3600, follows=True)
    replicas.log.note(LogState(STARTED, 1, 100, time.monotonic()), NOBODY)
    with within(seconds), pytest.raises(Elsewhere, match="failed"):
        replicas.rows("slow", text("SELECT 1"), {}, read_your_writes.Seen({}, reads=True))
    assert node.answers("slow") is None
    assert [node.answers("other") is not None] == serves
    assert [one.serves for one in replicas.states()] == serves


class ReplicaSet:
    """The driver's view of the members of a replica set."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds
        self.seconds = 5.0
        self.client = SimpleNamespace(topology_description=self)

    def server_descriptions(self) -> dict[int, Any]:
        found = [SimpleNamespace(server_type_name=kind, last_write_date=1.0) for kind in self.kinds]
        return dict(enumerate(found))


def where(secondaries: Secondaries, late: Any) -> str:
    """Whether a secondary or the primary answers a read that may be late."""
    with read_your_writes.primary():
        read_your_writes.begin({}, reads=True)
        return str(secondaries.read(late, lambda: "primary")())


@pytest.mark.parametrize(("cause", "others"), [(NetworkTimeout("slow"), "late"), (AutoReconnect("closed"), "primary")])
def test_a_slow_read_does_not_keep_others_from_secondaries(cause: Exception, others: str) -> None:
    members: Any = ReplicaSet("RSPrimary", "RSSecondary")
    now = [1000.0]
    secondaries = Secondaries(members, lambda: now[0])
    failure = Unavailable(DOCUMENTS, "")
    failure.__cause__ = cause
    late: Any = Mock(side_effect=[failure, "late", "late"])
    with read_your_writes.primary():
        read_your_writes.begin({}, reads=True)
        slow = secondaries.read(late, lambda: "primary")
        assert slow() == "primary"
        assert where(secondaries, lambda: "late") == others
        assert slow() == "primary"
        now[0] += 2
        assert slow() == "late"


def test_secondaries_long_without_a_primary_are_not_read() -> None:
    members: Any = ReplicaSet("RSPrimary", "RSSecondary")
    now = [1000.0]
    secondaries = Secondaries(members, lambda: now[0])
    assert where(secondaries, lambda: "late") == "late"
    members.kinds = ("RSSecondary", "RSSecondary")
    for seconds, answers in ((LATEST - 1, "late"), (LATEST, "primary")):
        now[0] = 1000.0 + seconds
        assert where(secondaries, lambda: "late") == answers


def test_an_answer_of_a_replica_is_marked_as_late() -> None:
    assert not read_your_writes.is_late()
    with read_your_writes.primary():
        read_your_writes.begin({}, reads=True)
        read_your_writes.read("relational", elsewhere="behind")
        assert not read_your_writes.is_late()
        read_your_writes.read("relational")
        assert read_your_writes.is_late()
    assert not read_your_writes.is_late()
