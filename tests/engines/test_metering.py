"""The meter counts as many commands as the servers see, by the engine's statistics or a trace of the protocol."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.ids import Ids
from repositories.documents import DocumentStore
from repositories.documents import open_store as open_documents
from repositories.feeds import FeedStore
from repositories.feeds import open_store as open_feeds
from repositories.hot import open_sessions
from repositories.meter import tally
from repositories.records.content import PostRef
from repositories.records.graph import Follow
from repositories.records.people import Session
from repositories.relational import RelationalStore
from tests.contracts.document_store import a_post, an_event
from tests.contracts.relational_store import new_database, opened, register
from tests.engines import Engines, Shared
from tests.notes import noting
from tests.system.real import KEYSPACE, real_urls

TIMEOUT = timedelta(seconds=10)
MESSAGE = re.compile(r"^[^\t]*\t?([FB])\t\d+\t(\w+)", re.MULTILINE)
NOW = datetime.now(UTC)


class TracedMessages:
    """The messages on the single connection of a PostgreSQL lane, as traced by libpq."""

    def __init__(self, lane: Any, file: Path) -> None:
        self._lane = lane
        self._file = file

    def during(self, work: Any) -> list[str]:
        """The messages of each exchange that start a command: P for Parse, B for Bind, Q for Query."""
        with self._file.open("wb") as file:
            with self._lane.engine.connect() as connection:
                wire = connection.connection.driver_connection.pgconn
            wire.trace(os.dup(file.fileno()))
            work()
            wire.untrace()
        messages = MESSAGE.findall(self._file.read_text())
        sent, exchanges = [], []
        for direction, kind in messages:
            if direction == "F":
                sent.append(kind)
            elif kind == "ReadyForQuery":
                exchanges.append("".join(kind[0] for kind in sent if kind in {"Bind", "Parse", "Query"}))
                sent = []
        return exchanges


@pytest.fixture(scope="module")
def relational(engines: Shared) -> Iterator[RelationalStore]:
    with opened(new_database(engines.postgres()), timeout=TIMEOUT, pool=1) as store:
        store.migrate()
        yield store


@pytest.fixture(scope="module")
def documents(own_engines: Engines) -> Iterator[DocumentStore]:
    url = real_urls(own_engines, "metering", ["documents"])["documents_url"]
    store = open_documents(url, timeout=TIMEOUT, pool=2)
    store.migrate()
    yield store
    store.close()


@pytest.fixture(scope="module")
def feeds(engines: Shared) -> Iterator[FeedStore]:
    url = real_urls(engines, "metering", ["feeds"], keyspace=KEYSPACE)["feeds_url"]
    store = open_feeds(url, timeout=TIMEOUT, pool=1, retention=timedelta(days=90))
    store.migrate()
    yield store
    store.close()


def test_a_read_is_one_prepared_statement_and_nothing_else(relational: RelationalStore, tmp_path: Path) -> None:
    """There is no BEGIN, no test of the connection, and no statement is parsed again."""
    ids = register(relational, 2)

    def read() -> None:
        for _ in range(5):
            relational.accounts.get(ids)
            relational.graph.counts(ids)

    read()
    with tally() as mine:
        seen = TracedMessages(relational._reading, tmp_path / "wire").during(read)  # type: ignore[attr-defined]  # the adapter's
    assert seen == ["B"] * 10
    assert mine.trips() == {"relational": 10}


def test_a_transaction_is_counted_with_its_begin_and_its_end(relational: RelationalStore, tmp_path: Path) -> None:
    follower, followee = register(relational, 2)

    def work() -> None:
        with relational.transaction() as tx:
            tx.graph.unfollow(follower, followee)
            tx.graph.follow(Follow(follower, followee, NOW))

    work()
    work()
    with tally() as mine:
        seen = TracedMessages(relational._writing, tmp_path / "wire").during(work)  # type: ignore[attr-defined]  # the adapter's
    assert [seen[0], seen[-1]] == ["PBB", "PBB"], "BEGIN with the first statement; COMMIT with the log position"
    assert set(seen[1:-1]) == {"B"}
    assert mine.trips() == {"relational": len(seen) + 1}


def test_a_transaction_that_is_rolled_back_is_counted_too(relational: RelationalStore) -> None:
    follower, followee = register(relational, 2)
    with noting() as notes, contextlib.suppress(KeyError), relational.transaction() as tx:
        tx.graph.unfollow(follower, followee)
        raise KeyError
    calls = [(operation, trips) for _, operation, trips, _ in notes.kept]
    assert [trips for _, trips in calls] == [2, *[1] * (len(calls) - 1)], "the first statement is sent with BEGIN"
    assert calls[-1] == ("rollback", 1)


def test_statements_are_prepared_once_per_connection(relational: RelationalStore) -> None:
    ids = register(relational, 1)
    lane = relational._reading  # type: ignore[attr-defined]  # the adapter's
    for _ in range(3):
        relational.accounts.get(ids)
    with lane.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        query = (
            "SELECT count(*), count(DISTINCT statement) FROM pg_prepared_statements WHERE statement LIKE '%%accounts%%'"
        )
        all_of_them, different = connection.exec_driver_sql(query).one()
    assert all_of_them == different > 0
    assert lane.engine.pool._pre_ping is False


def test_every_command_to_mongo_is_counted(documents: DocumentStore) -> None:
    documents.posts.load([a_post() for _ in range(250)])
    post = a_post()
    before = sent_to_mongo(documents)
    with tally() as mine:
        assert len(documents.posts.page(before=None, limit=250, author=None, tag=None)) == 250
        documents.posts.add(post, an_event(post.id))
    after = sent_to_mongo(documents)
    assert after - before == mine.trips()["documents"] == 3


def sent_to_mongo(documents: Any) -> int:
    """The number of operations. Commands are not counted, since the driver's monitoring sends some too."""
    found = documents._connection.client.admin.command("serverStatus")["opcounters"]
    return sum(int(found[name]) for name in ("query", "getmore", "insert", "update", "delete"))


class CountingSocket:
    """A socket that counts its writes."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.writes = 0

    def sendall(self, data: bytes) -> None:
        self.writes += 1
        self.inner.sendall(data)

    def recv(self, size: int) -> bytes:
        return self.inner.recv(size)

    def settimeout(self, seconds: float) -> None:
        self.inner.settimeout(seconds)


def test_every_write_to_redis_is_counted(engines: Shared) -> None:
    store: Any = open_sessions(engines.sessions().url, timeout=TIMEOUT, pool=1)
    store.ping()
    account, digest = uuid4(), uuid4().bytes * 2
    session = Session(uuid4(), account, None, NOW, NOW + timedelta(days=1))
    [wire] = store._link._all
    wire._socket = line = CountingSocket(wire._socket)
    with tally() as mine:
        store.add(session, digest)
        assert store.find(digest, now=NOW) == session
        assert store.of_account(account, now=NOW) == [session]
        store.end_all(account, keep=None)
    assert mine.trips() == {"sessions": line.writes}
    assert line.writes >= 4
    store.close()


def test_every_request_to_cassandra_is_counted(feeds: FeedStore) -> None:
    owners, post = [uuid4() for _ in range(50)], PostRef(Ids()(), uuid4())
    requests: list[object] = []
    session = feeds._link._session.get(10)  # type: ignore[attr-defined]  # the adapter's
    feeds.push(post, owners, NOW)
    session.add_request_init_listener(requests.append)
    with tally() as mine:
        feeds.push(post, owners, NOW)
        assert feeds.home_page(owners[0], limit=10) == [post]
    assert mine.trips() == {"feeds": len(requests)}
    assert len(requests) >= 52
