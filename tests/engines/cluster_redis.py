"""A Redis Cluster of six nodes: the cache while a master dies or freezes, and while slots migrate. Run by
`make test-clusters`.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4
from zlib import crc32

import pytest
from redis.crc import key_slot

from repositories.hot import Cache, Fill, Value, open_cache
from repositories.hot.redis.cluster import TAGS
from tests.contracts.hot.cached_values import body, read, store
from tests.engines import Server, redis
from tests.engines.answering import works
from tests.engines.home import Home
from tests.engines.kernel import wait_until

TIMEOUT = timedelta(seconds=2)
# Seconds. The node timeout is one second, and an election takes about one more.
FAILOVER = 15
MASTERS = 3


@pytest.fixture
def nodes() -> Iterator[list[Server]]:
    home = Home()
    launched = redis.launch_cluster(home, masters=MASTERS, replicas=1)
    yield launched
    for node in launched:
        node.discard()
    home.close()


@pytest.fixture
def cache(nodes: list[Server]) -> Iterator[Cache]:
    with closing(open_cache(nodes[0].url, timeout=TIMEOUT, pool=4)) as opened:
        yield opened


def owner_of(key: str) -> int:
    """The number of the master that has the key before any slot moves."""
    return key_slot(_tag(key).encode()) * MASTERS >> 14


def _tag(key: str) -> str:
    return TAGS[crc32(key.encode()) % len(TAGS)]


def key_of(master: int) -> str:
    return next(key for n in count() if owner_of(key := f"key:{uuid4()}:{n}") == master)


def page_of(cache: Cache, page: str, part: str) -> None:
    part_held = read(cache, part)
    [lease] = cache.lease({page: b""})
    assert part_held
    assert isinstance(lease, bytes)
    assert cache.fill({page: Fill(lease, Value(b"page"), 60, parts={part: part_held.stamp})}) == {page}


@pytest.mark.parametrize("end", [Server.kill, Server.pause])
def test_a_failover_serves_no_value_whose_drop_the_replica_missed(
    nodes: list[Server], cache: Cache, end: Callable[[Server], None]
) -> None:
    """The promoted replica has missed the drop of a key."""
    dropped, other, page = key_of(0), key_of(1), key_of(2)
    for key in (dropped, other):
        store(cache, key, b"old")
    page_of(cache, page, dropped)
    assert cache.whole(page)
    replica = nodes[MASTERS]
    with redis.client(nodes[0]) as master:
        assert master.wait(1, 5000) == 1
        replica.pause()
        # Otherwise the replica would read the drop from the buffers of its connection when it resumes.
        assert master.execute_command("CLIENT", "KILL", "TYPE", "replica") == 1
    cache.drop([dropped])
    end(nodes[0])
    replica.resume()
    assert wait_until(lambda: works(lambda: cache.read([dropped, other, page])), FAILOVER)
    with redis.client(replica) as promoted:
        assert promoted.info("replication")["role"] == "master"
        assert promoted.keys(f"*{dropped}")
    assert body(cache, dropped) is None
    assert cache.whole(page) is None
    assert body(cache, other) == b"old"
    store(cache, dropped, b"new")
    assert body(cache, dropped) == b"new"


def test_dropping_a_part_drops_the_page_made_of_it(cache: Cache) -> None:
    for part, page in [(key_of(0), key_of(1)), (key_of(1), key_of(2)), (key_of(2), key_of(2))]:
        store(cache, part, b"part")
        page_of(cache, page, part)
        assert cache.whole(page)
        cache.drop([part])
        assert cache.whole(page) is None
        assert body(cache, page) is None


def test_redirections_of_migrating_slots_are_followed(nodes: list[Server], cache: Cache) -> None:
    key, moved = key_of(0), key_of(0)
    while _tag(key) == _tag(moved):
        moved = key_of(0)
    for one in (key, moved):
        store(cache, one, b"before")
    slot = key_slot(_tag(moved).encode())
    with redis.client(nodes[0]) as source, redis.client(nodes[1]) as target:
        ids = [node.execute_command("CLUSTER", "MYID").decode() for node in (source, target)]
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        names = source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        source.execute_command("MIGRATE", "127.0.0.1", urlsplit(nodes[1].url).port, "", 0, 5000, "KEYS", *names)
        # The old node redirects by ASK.
        assert body(cache, moved) == b"before"
        assert body(cache, key) == b"before"
        for node in (target, source):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    # Now it redirects by MOVED.
    assert body(cache, moved) == b"before"
    cache.drop([moved])
    assert body(cache, moved) is None
    store(cache, moved, b"after")
    assert body(cache, moved) == b"after"
