"""Three Cassandra nodes with full replicas, one of which is frozen. Run by `make test-clusters`."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.retention import now
from tests.engines import Server
from tests.engines.answering import works
from tests.engines.feeds_calls import post
from tests.engines.kernel import wait_until

TIMEOUT = timedelta(seconds=2)
READERS = 60
STARTS = 6


@pytest.fixture(scope="module")
def ring(cassandra_ring: list[Server]) -> list[Server]:
    with closing(opened(cassandra_ring[0].url, timeout=timedelta(seconds=60))) as store:
        assert wait_until(lambda: works(store.migrate), 300)
    with closing(opened(cassandra_ring[0].url, level="ALL")) as store:
        # Wait until every node sees the others.
        assert wait_until(lambda: all(works(lambda: store.push(post(), [uuid4()], now())) for _ in range(20)), 300)
    return cassandra_ring


@pytest.fixture(params=[0, 1, 2])
def node(request: pytest.FixtureRequest, ring: list[Server]) -> Iterator[Server]:
    """Each of the nodes in turn: the data decide which node is asked first."""
    yield ring[request.param]
    ring[request.param].resume()
    with closing(opened(ring[0].url)) as store:
        assert wait_until(lambda: all_nodes_up(store), 60)


def opened(url: str, timeout: timedelta = TIMEOUT, level: str = "LOCAL_QUORUM") -> CassandraFeeds:
    days = timedelta(days=90)
    return CassandraFeeds(url, timeout=timeout, retention=days, replication="3", write_consistency=level)


def all_nodes_up(store: CassandraFeeds) -> bool:
    """Whether all nodes are up."""
    store.ping()
    return store.notes() == []


def test_a_frozen_node_costs_no_call(ring: list[Server], node: Server) -> None:
    with closing(opened(ring[0].url)) as store:
        assert wait_until(lambda: all_nodes_up(store), 60)
        readers = [uuid4() for _ in range(READERS)]
        store.push(post(), readers, now())
        node.pause()
        for reader in readers:
            made = post()
            store.push(made, [reader], now())
            assert store.home_page(reader, limit=1) == [made]
        assert wait_until(lambda: store.notes() == ["1 of 3 nodes are down"], 60)


def test_a_store_opens_while_a_node_is_frozen(ring: list[Server], node: Server) -> None:
    node.pause()
    for _ in range(STARTS):
        with closing(opened(ring[0].url)) as store:
            store.ping()
            reader, made = uuid4(), post()
            store.push(made, [reader], now())
            assert store.home_page(reader, limit=1) == [made]
