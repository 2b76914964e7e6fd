"""One Cassandra node becomes three while feeds are written and read, by the steps of docs/growing.md. Run by
`make test-clusters`.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement

from repositories.feeds.cassandra import schema
from repositories.feeds.cassandra.errors import translated
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.engines import cassandra
from tests.engines.answering import works
from tests.engines.feeds_calls import post
from tests.engines.home import Home
from tests.engines.kernel import wait_until

READERS = 50
# Each node gets a third of the ring.
TOKENS = (0, -(2**63) + 2**64 // 3, 2**63 - 2**64 // 3)
RAISE = "ALTER KEYSPACE quartet WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"


@pytest.fixture
def ring() -> Iterator[cassandra.GrowingCluster]:
    home = Home()
    growing = cassandra.GrowingCluster(home)
    yield growing
    growing.close()
    home.close()


def done(call: Callable[[], object]) -> None:
    """Retry the call like the relay: on a busy machine a node may be silent long enough to count as unavailable."""
    assert wait_until(lambda: works(call), 60)


class CheckedFeeds:
    """Readers, and the acknowledged entries of their feeds, by which the store is checked."""

    def __init__(self, store: CassandraFeeds) -> None:
        self.store = store
        self.feeds = {uuid4(): Counter[PostRef]() for _ in range(READERS)}
        self._guard = threading.Lock()

    @contextmanager
    def being_written(self) -> Iterator[None]:
        """Push posts to all readers and retract some, during the block."""
        stop, strange = threading.Event(), list[BaseException]()

        def write() -> None:
            try:
                while not stop.wait(0.5):
                    self.write()
            except BaseException as error:  # noqa: BLE001  every kind is a finding
                strange.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not strange, strange

    def write(self) -> None:
        owners, made = [*self.feeds], [post(), post()]
        with self._guard:
            for one in made:
                done(lambda one=one: self.store.push(one, owners, now()))  # type: ignore[misc]
            done(lambda: self.store.retract(made[0], owners, now()))
            for feed in self.feeds.values():
                feed[made[1]] += 1
            # For about a second, nodes may disagree on the owner of a range: entries may be late, but none may be lost.
            done(lambda: None if wait_until(lambda: self._differs(owners[0]) is None, 30) else pytest.fail("lost"))

    def check(self) -> None:
        with self._guard:
            assert [found for reader in self.feeds if (found := self._differs(reader))] == []

    def _differs(self, reader: UUID) -> tuple[Counter[PostRef], Counter[PostRef]] | None:
        """The missing and the surplus entries, or None."""
        found, right = Counter(self.store.home_page(reader, limit=5000)), self.feeds[reader]
        return None if found == right else (right - found, found - right)


@contextmanager
def opened(url: str, *, read: str = "LOCAL_QUORUM", copies: str = "3") -> Iterator[CassandraFeeds]:
    patience = timedelta(seconds=30)
    with closing(
        CassandraFeeds(url, timeout=patience, retention=timedelta(days=90), replication=copies, read_consistency=read)
    ) as store:
        yield store


def repair(store: CassandraFeeds, table: str) -> None:
    """Repair a table like `nodetool repair -full`, which does not work here, since this Java has no JNDI.

    A read at consistency ALL repairs replicas that differ before it answers.
    """
    text = f"SELECT * FROM quartet.{table}"  # noqa: S608  a name of ours
    every = SimpleStatement(text, consistency_level=ConsistencyLevel.ALL, fetch_size=500)
    done(lambda: list(all_rows(store, every)))


def all_rows(store: CassandraFeeds, statement: SimpleStatement) -> Iterator[object]:
    with translated():
        yield from store._link._session.get(10).execute(statement, timeout=60)


def test_one_node_becomes_three_while_feeds_are_used(ring: cassandra.GrowingCluster) -> None:
    first = ring.join(TOKENS[0])
    with opened(first.url, copies="1") as store:
        assert wait_until(lambda: works(store.migrate), 120)
        checked = CheckedFeeds(store)
        for _ in range(20):
            checked.write()
        with checked.being_written():
            for token in TOKENS[1:]:
                ring.join(token)
        checked.check()
    # At ALL each read asks every replica, including the one that has all data.
    with opened(first.url, read="ALL", copies="1") as store:
        checked.store = store
        with checked.being_written():
            # Refused until the first node has noticed that the last one has joined.
            done(lambda: store._link.schema(RAISE))
            checked.check()
            with opened(ring.nodes[2].url, read="ALL") as another:
                another.ping()
                assert len(another.home_page(next(iter(checked.feeds)), limit=1)) == 1
            for table in schema.TABLES:
                repair(store, table)
    with opened(ring.nodes[-1].url) as store:
        checked.store = store
        assert store.migrate() == []
        for node in ring.nodes:
            node.pause()
            checked.check()
            checked.write()
            node.resume()
