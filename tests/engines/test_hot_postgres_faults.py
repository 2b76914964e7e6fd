"""Hot data on PostgreSQL: refused, frozen, read-only, and restarted by the death of one of its processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from app.services.live.hub import Hub, LiveLimits
from repositories.errors import ReadOnly, Unavailable
from repositories.hot import (
    CacheStores,
    Fill,
    LiveEvent,
    Rate,
    SessionStore,
    Value,
    guarded,
    open_cache_stores,
    open_sessions,
)
from repositories.hot.streams_port import Position
from repositories.records.people import Session
from tests.contracts.relational_store import new_database
from tests.engines import Engines, Server
from tests.engines.answering import works
from tests.engines.kernel import free_port, wait_until
from tests.engines.slack import SLACK

NOW = datetime(2031, 5, 17, tzinfo=UTC)
TIMEOUT = timedelta(seconds=0.3)
PATIENT = timedelta(seconds=5)
FOREVER = timedelta(hours=1)
Calls = list[Callable[[], object]]


@pytest.fixture
def own_engines(own_engines: Engines) -> Iterator[Engines]:
    yield own_engines
    own_engines.heal()


@pytest.fixture
def server(own_engines: Engines) -> Server:
    return own_engines.postgres()


@pytest.fixture
def url(server: Server) -> str:
    return new_database(server)


def opened(url: str, stack: ExitStack, timeout: timedelta = TIMEOUT) -> tuple[SessionStore, CacheStores]:
    sessions = stack.enter_context(closing(open_sessions(url, timeout=timeout, pool=2)))
    stores = open_cache_stores(url, timeout=timeout, pool=3, viewers=1)
    for store in (sessions, *stores):
        stack.callback(store.close)
        store.migrate()
    return sessions, stores


@pytest.fixture
def hot(url: str) -> Iterator[tuple[SessionStore, CacheStores]]:
    with ExitStack() as stack:
        yield opened(url, stack)


def session(account: UUID | None = None) -> Session:
    return Session(uuid4(), account or uuid4(), None, NOW, NOW + timedelta(days=30))


def event(text: str = "x") -> LiveEvent:
    return LiveEvent(text, "post", b"{}")


def calls(hot: tuple[SessionStore, CacheStores]) -> Calls:
    sessions, (cache, streams, limits, views) = hot
    ada = uuid4()
    return [
        lambda: sessions.add(session(), uuid4().bytes),
        partial(sessions.find, b"x", now=NOW),
        partial(sessions.end, ada, ada),
        sessions.ping,
        partial(cache.read, ["x"]),
        partial(cache.drop, ["x"]),
        cache.void,
        partial(streams.listen, ada),
        partial(streams.append, [ada], event()),
        partial(streams.since, [(ada, Position("", 0))], limit=1),
        partial(limits.take, "x", Rate(1, 1)),
        partial(views.add, {ada: 1}),
        partial(views.take, 1),
    ]


def fails_in_time(call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - start < TIMEOUT.total_seconds() + SLACK


def test_calls_to_a_refusing_or_frozen_server_end_in_time(
    server: Server, url: str, hot: tuple[SessionStore, CacheStores]
) -> None:
    nowhere = urlsplit(url)._replace(netloc=f"quartet@127.0.0.1:{free_port()}").geturl()
    fails_in_time(partial(open_sessions(nowhere, timeout=TIMEOUT, pool=1).find, b"x", now=NOW))
    for call in calls(hot):
        call()
    server.pause()
    for call in calls(hot):
        fails_in_time(call)
    server.resume()
    for call in calls(hot):
        assert wait_until(partial(works, call), 10)


def test_a_read_only_server_still_finds_sessions(url: str, hot: tuple[SessionStore, CacheStores]) -> None:
    """A read-only database still finds sessions. Writes raise `Unavailable`, as with Redis."""
    sessions, stores = hot
    made, digest = session(), uuid4().bytes
    sessions.add(made, digest)
    name = urlsplit(url).path.strip("/")
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as admin:

        def set_read_only(value: str) -> None:
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
            ours = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(ours, [name])

        set_read_only("on")
        writes: Calls = [
            lambda: sessions.add(session(), uuid4().bytes),
            partial(stores.cache.drop, ["x"]),
            partial(stores.limits.take, "x", Rate(1, 1)),
            partial(stores.streams.listen, uuid4()),
            partial(stores.views.add, {uuid4(): 1}),
        ]
        for write in writes:
            fails_in_time(write)
        with pytest.raises(ReadOnly):
            sessions.ping()
        set_read_only("off")
    for write in writes:
        write()
    assert sessions.find(digest, now=NOW) == made


def lets_in(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return True
    return False


def test_the_death_of_one_process_empties_the_cache_and_brings_no_session_back(
    url: str, hot: tuple[SessionStore, CacheStores]
) -> None:
    sessions, stores = hot
    cache = guarded(stores.cache)
    ada, post = uuid4(), uuid4()
    (kept, kept_digest), (ended, ended_digest) = [(session(ada), uuid4().bytes) for _ in range(2)]
    for one, digest in ((kept, kept_digest), (ended, ended_digest)):
        sessions.add(one, digest)
    assert sessions.end(ada, ended.id)
    stored, leased = cache.lease({"stored": b"", "leased": b""})
    assert isinstance(stored, bytes)
    assert isinstance(leased, bytes)
    assert cache.fill({"stored": Fill(stored, Value(b"old"), 60)}) == {"stored"}
    at = stores.streams.listen(ada)
    stores.streams.append([ada], event())
    hub = Hub(stores.streams, sessions, lambda: NOW, LiveLimits(2))
    reader = hub.open(kept, kept_digest, None)
    stores.views.add({post: 1})
    batch = stores.views.take(9)
    assert batch

    killed = psycopg.connect(url)
    os.kill(killed.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        killed.execute("SELECT pg_sleep(20)")
    killed.close()
    # New connections are refused until all other backends have ended. Until then these may still answer.
    assert wait_until(partial(lets_in, url), 20)
    assert wait_until(partial(works, sessions.ping), 20)
    assert wait_until(partial(works, stores.cache.ping), 20)

    assert sessions.find(kept_digest, now=NOW) == kept
    assert sessions.find(ended_digest, now=NOW) is None
    assert sessions.of_account(ada, now=NOW) == [kept]
    assert cache.fill({"leased": Fill(leased, Value(b"old"), 60)}) == set()
    assert cache.read(["stored", "leased"]) == [None, None]
    assert isinstance(cache.lease({"leased": b""})[0], bytes)
    assert cache.fill({"leased": Fill(leased, Value(b"old"), 60)}) == set()
    # A reader of live events gets one resync.
    assert [item.event for item in reader.take(timedelta(seconds=20)) or ()] == [None]
    [delta] = stores.streams.since([(ada, at)], limit=9)
    assert delta.lost
    assert stores.streams.listen(ada).epoch != at.epoch
    assert stores.views.take(9) is None
    stores.views.add({post: 1})
    after = stores.views.take(9)
    assert after
    assert after.number > batch.number
    hub.close()
    cache.close()
