"""Stores for the contract suites of the hot role."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from redis import Redis, RedisCluster

from repositories.hot import Cache, SessionStore, Streams, open_cache, open_sessions, open_streams
from repositories.hot.embedded.streams import EmbeddedStreams
from repositories.hot.redis.cluster import TAGS
from repositories.hot.redis.streams import RedisStreams
from repositories.hot.streams_port import LISTENING
from tests.contracts.hot.cached_values import TIMEOUT, store
from tests.contracts.hot.live_events import Clock, StreamsUnderTest
from tests.contracts.relational_store import new_database


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "cluster", "postgres"))],
)
def cache_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    if request.param == "redis":
        return str(request.getfixturevalue("engines").cache().url)
    if request.param == "cluster":
        return str(request.getfixturevalue("redis_cluster"))
    return f"sqlite:///{tmp_path_factory.mktemp('cache') / 'hot.db'}"


@pytest.fixture
def cache(cache_url: str) -> Iterator[Cache]:
    store = open_cache(cache_url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def key() -> str:
    return f"key:{uuid4()}"


@pytest.fixture
def parts(cache: Cache, key: str) -> list[str]:
    found = [f"{key}:part {n}{char}" for n, char in enumerate(["", "\u00e9", "\x00", "\U0001f600"])]
    for part in found:
        store(cache, part, b"part")
    return found


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "postgres"))],
)
def sessions_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    if request.param == "redis":
        return str(request.getfixturevalue("engines").sessions().url)
    return f"sqlite:///{tmp_path_factory.mktemp('sessions') / 'hot.db'}"


@pytest.fixture
def sessions(sessions_url: str) -> Iterator[SessionStore]:
    store = open_sessions(sessions_url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "cluster", "postgres"))],
)
def under_test(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsUnderTest]:
    clock = Clock()
    if request.param == "redis":
        url = request.getfixturevalue("engines").cache().url
        streams: Streams = RedisStreams(url, timeout=timedelta(seconds=5), pool=8)
        with Redis.from_url(url) as redis:
            yield StreamsUnderTest(
                streams, lambda ids: [redis.pexpire(f"quartet:1:live:{{{i.hex}}}:head", 0) for i in ids]
            )
    elif request.param == "cluster":
        url = request.getfixturevalue("redis_cluster")
        streams = RedisStreams(url, timeout=timedelta(seconds=5), pool=8)
        with RedisCluster.from_url(url.replace("redis+cluster:", "redis:")) as cluster:
            yield StreamsUnderTest(
                streams, lambda ids: [cluster.pexpire(f"quartet:1:live:{_tag(i)}:{i.hex}:head", 0) for i in ids]
            )
    elif request.param == "postgres":
        url = new_database(request.getfixturevalue("engines").postgres())
        streams = open_streams(url, timeout=timedelta(seconds=5), pool=8)
        streams.migrate()
        with psycopg.connect(url, autocommit=True) as own:
            over = "UPDATE hot_streams SET expires_at = 0 WHERE account_id = ANY (%s)"
            yield StreamsUnderTest(streams, lambda ids: own.execute(over, [[i.bytes for i in ids]]))
    else:
        streams = EmbeddedStreams(f"sqlite:///{tmp_path_factory.mktemp('streams') / 'hot.db'}", clock=clock)

        def leave(_: list[UUID]) -> None:
            clock.now += LISTENING.total_seconds()

        streams.migrate()
        yield StreamsUnderTest(streams, leave)
    streams.close()


def _tag(account_id: UUID) -> str:
    return TAGS[account_id.int % len(TAGS)]


@pytest.fixture
def streams(under_test: StreamsUnderTest) -> Streams:
    return under_test.streams
