"""The keys of the hot role in Redis: names, times to live, the index, and what happens when some are lost."""

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis import Redis

from app.services.pages.kinds import Kind
from app.services.pages.read_through import ReadThrough
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, SessionStore, Value, open_cache, open_sessions
from repositories.hot.redis.link import RedisLink
from repositories.hot.redis.wire import Command
from repositories.records.people import Ending, Session
from tests.engines import Reachable, Shared

NOW = datetime(2031, 5, 17, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
TIMEOUT = timedelta(seconds=5)
HOUR = 3_600


@pytest.fixture
def sessions(engines: Shared) -> Iterator[SessionStore]:
    store = open_sessions(engines.sessions().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


@pytest.fixture
def cache(engines: Shared) -> Iterator[Cache]:
    store = open_cache(engines.cache().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


def session() -> Session:
    return Session(uuid4(), uuid4(), None, NOW, LATER)


def client(server: Reachable) -> Redis:
    return Redis.from_url(server.url, socket_timeout=5)


def test_sessions_and_their_index_expire_an_hour_after_the_session_ends(
    engines: Shared, sessions: SessionStore
) -> None:
    account = uuid4()
    short = Session(uuid4(), account, None, NOW, NOW + timedelta(hours=1))
    long = Session(uuid4(), account, None, NOW, NOW + timedelta(hours=50))
    sessions.add(long, b"long" + account.bytes)
    sessions.add(short, b"short" + account.bytes)
    with client(engines.sessions()) as redis:
        assert 51 * HOUR - 60 < redis.ttl(f"quartet:account:{account}") <= 51 * HOUR
        of_short = f"quartet:session:{(b'short' + account.bytes).hex()}"
        assert 2 * HOUR - 60 < redis.ttl(of_short) <= 2 * HOUR
        sessions.note_use(replace(short, used_at=NOW, address="203.0.113.7"), b"short" + account.bytes)
        assert 2 * HOUR - 60 < redis.ttl(of_short) <= 2 * HOUR


def lease(cache: Cache, key: str) -> bytes:
    [mine] = cache.lease({key: b""})
    assert isinstance(mine, bytes)
    return mine


def test_all_keys_expire_and_values_with_jitter(engines: Shared, cache: Cache) -> None:
    keys = [f"{uuid4()}" for _ in range(50)]
    fills = {key: Fill(lease(cache, key), Value(b"v"), 1_000, 500) for key in keys}
    with client(engines.cache()) as redis:
        assert 0 < redis.ttl(f"quartet:5:l:{keys[0]}") <= 30
        assert cache.fill(fills) == set(keys)
        assert not redis.exists(*(f"quartet:5:l:{key}" for key in keys))
        lives = [redis.pttl(f"quartet:5:v:{key}") for key in keys]
        assert 6 * 24 * HOUR < redis.ttl("quartet:5:epoch") <= 7 * 24 * HOUR
    assert 1_395_000 < min(lives) < 1_450_000
    assert 1_550_000 < max(lives) <= 1_600_000


def test_the_index_forgets_sessions_that_redis_forgot(engines: Shared, sessions: SessionStore) -> None:
    account = uuid4()
    made = [(Session(uuid4(), account, None, NOW, LATER), uuid4().bytes) for _ in range(4)]
    index, names = f"quartet:account:{account}", [f"quartet:session:{digest.hex()}" for _, digest in made]
    for one, digest in made[:3]:
        sessions.add(one, digest)
    with client(engines.sessions()) as redis:
        redis.delete(names[0])
        assert sessions.end(account, made[0][0].id) is False
        redis.delete(names[1])
        sessions.add(*made[3])
        assert redis.hlen(index) == 2
        redis.delete(names[2])
        assert sessions.of_account(account, now=NOW) == [made[3][0]]
        assert redis.hlen(index) == 1
        sessions.end_all(account, keep=None)
        assert not redis.exists(index)


def test_a_malformed_session_record_signs_nobody_in(engines: Shared, sessions: SessionStore) -> None:
    made, digest = session(), uuid4().bytes
    sessions.add(made, digest)
    with client(engines.sessions()) as redis:
        for record in ('{"id": 1}', "not JSON", "[]", "1", ""):
            redis.set(f"quartet:session:{digest.hex()}", record)
            assert sessions.find(digest, now=NOW) is None
            assert sessions.of_account(made.account_id, now=NOW) == []
            sessions.end_all(made.account_id, keep=None)
            sessions.add(made, digest)
    assert sessions.of_account(made.account_id, now=NOW) == [made]


def test_an_evicted_lease_fills_nothing(engines: Shared, cache: Cache) -> None:
    key = f"{uuid4()}"
    mine = lease(cache, key)
    with client(engines.cache()) as redis:
        redis.delete(f"quartet:5:l:{key}")
    assert cache.fill({key: Fill(mine, Value(b"old"), 60)}) == set()
    lease(cache, key)
    assert cache.fill({key: Fill(mine, Value(b"old"), 60)}) == set()


def test_a_lost_epoch_voids_everything(engines: Shared, cache: Cache) -> None:
    stored, leased = f"{uuid4()}", f"{uuid4()}"
    assert cache.fill({stored: Fill(lease(cache, stored), Value(b"v"), 60)}) == {stored}
    mine = lease(cache, leased)
    with client(engines.cache()) as redis:
        redis.delete("quartet:5:epoch")
    assert cache.read([stored, leased]) == [None, None]
    theirs = lease(cache, leased)
    assert cache.read([stored]) == [None]
    assert cache.fill({leased: Fill(mine, Value(b"old"), 60)}) == set()
    assert cache.fill({leased: Fill(theirs, Value(b"new"), 60)}) == {leased}


def test_a_void_already_done_by_another_client_is_not_repeated(engines: Shared, cache: Cache) -> None:
    key, other = f"{uuid4()}", open_cache(engines.cache().url, timeout=TIMEOUT, pool=1)
    other.read([key])
    cache.void()
    assert cache.fill({key: Fill(lease(cache, key), Value(b"v"), 60)}) == {key}
    other.void(unless_done=True)
    assert cache.read([key]) != [None]
    other.void()
    assert cache.read([key]) == [None]
    other.close()


def test_a_void_that_is_sent_twice_restores_no_voided_value(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link sends it again if the connection is lost before the reply; another client may void in between."""
    sent, exchange, key = list[tuple[RedisLink, tuple[Command, ...]]](), RedisLink.exchange, f"{uuid4()}"

    def noted(link: RedisLink, *commands: Command, again: bool) -> list[Any]:
        sent.append((link, commands))
        return exchange(link, *commands, again=again)

    with monkeypatch.context() as patched:
        patched.setattr(RedisLink, "exchange", noted)
        cache.void()
    [(link, void)] = sent
    [lease] = cache.lease({key: b""})
    assert isinstance(lease, bytes)
    assert cache.fill({key: Fill(lease, Value(b"v"), 60)}) == {key}
    cache.void()
    assert cache.read([key]) == [None]
    link.exchange(*void, again=True)
    assert cache.read([key]) == [None]


def test_a_damaged_value_is_a_miss(engines: Shared, cache: Cache) -> None:
    key = f"{uuid4()}"
    cache.fill({key: Fill(lease(cache, key), Value(b"v"), 60)})
    with client(engines.cache()) as redis:
        whole = redis.get(f"quartet:5:v:{key}")
        assert isinstance(whole, bytes)
        for damaged in (whole[:-1], whole[:24], whole[:9]):
            redis.set(f"quartet:5:v:{key}", damaged)
            assert cache.read([key]) == [None]


def test_a_hundred_threads_of_two_processes_on_one_cold_key_are_one_load(engines: Shared) -> None:
    stores = [open_cache(engines.cache().url, timeout=TIMEOUT, pool=50) for _ in range(2)]
    processes = [ReadThrough(store) for store in stores]
    loads: list[object] = []

    def load(ids: Collection[str]) -> dict[str, Value]:
        loads.append(ids)
        threading.Event().wait(0.1)
        return {about: Value(b"loaded") for about in ids}

    kind, start = Kind("thing", "1", load, fresh=60.0), threading.Barrier(100)

    def read(n: int) -> int:
        start.wait()
        return len(processes[n % 2].get(kind, [key]))

    with ThreadPoolExecutor(100) as threads:
        for _ in range(3):
            key = f"{uuid4()}"
            assert list(threads.map(read, range(100))) == [1] * 100
    assert len(loads) == 3
    for store in stores:
        store.close()


def test_values_of_another_server_process_are_not_read(engines: Shared, cache: Cache) -> None:
    """A server restarted from a file or promoted from a replica may have missed the last drops."""
    key = f"key {uuid4()}"
    [lease] = cache.lease({key: b""})
    assert isinstance(lease, bytes)
    assert cache.fill({key: Fill(lease, Value(b"old"), 60)})
    again = open_cache(engines.cache().url, timeout=TIMEOUT, pool=1)
    assert again.read([key])[0] is not None
    with client(engines.cache()) as redis:
        own = redis.get("quartet:5:server")
        redis.set("quartet:5:server", "another")
    later = open_cache(engines.cache().url, timeout=TIMEOUT, pool=1)
    assert later.read([key]) == again.read([key]) == [None]
    with client(engines.cache()) as redis:
        assert redis.get("quartet:5:server") == own
    later.close()
    again.close()


def test_ping_and_mark_need_no_table_of_the_relational_store(engines: Shared) -> None:
    """`quartet migrate` pings the session store, and reads its mark, before it creates the tables."""

    def endings(*_: object) -> list[Ending]:
        raise Unavailable("relational", "no such table")

    with closing(open_sessions(engines.sessions().url, timeout=TIMEOUT, pool=1, endings=endings)) as store:
        store.ping()
        assert store.place is not None
        assert store.place.mark() is None
        with pytest.raises(Unavailable, match="no such table"):
            store.find(b"any", now=NOW)
