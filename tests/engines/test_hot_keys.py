"""What Redis holds for the hot role: names, times to live, the index, and what was lost of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis import Redis
from redis.crc import key_slot

from repositories.hot import Cache, Sessions, open_cache, open_sessions
from repositories.records import Session
from tests.engines import Engines, Server

NOW = datetime(2031, 5, 17, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
TIMEOUT = timedelta(seconds=5)
HOUR = 3_600


@pytest.fixture
def sessions(engines: Engines) -> Iterator[Sessions]:
    store = open_sessions(engines.sessions().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


@pytest.fixture
def cache(engines: Engines) -> Iterator[Cache]:
    store = open_cache(engines.cache().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


def session() -> Session:
    return Session(uuid4(), uuid4(), None, NOW, LATER)


def client(server: Server) -> Redis:
    return Redis.from_url(server.url, socket_timeout=5)


def test_a_session_lives_its_length_and_an_hour_and_the_index_as_long(engines: Engines, sessions: Sessions) -> None:
    account = uuid4()
    short = Session(uuid4(), account, None, NOW, NOW + timedelta(hours=1))
    long = Session(uuid4(), account, None, NOW, NOW + timedelta(hours=50))
    sessions.add(long, b"long" + account.bytes)
    sessions.add(short, b"short" + account.bytes)
    with client(engines.sessions()) as redis:
        assert 51 * HOUR - 60 < redis.ttl(f"quartet:account:{account}") <= 51 * HOUR
        assert 2 * HOUR - 60 < redis.ttl(f"quartet:session:{(b'short' + account.bytes).hex()}") <= 2 * HOUR


def test_values_and_permits_expire_and_not_all_at_once(engines: Engines, cache: Cache) -> None:
    keys = [f"{uuid4()}" for _ in range(50)]
    slots = cache.read(keys)
    with client(engines.cache()) as redis:
        assert 0 < redis.ttl(f"quartet:1:p:{{={keys[0]}}}") <= 30
        cache.fill({k: (s.permit or "", b"v") for k, s in zip(keys, slots, strict=True)}, seconds=1_000)
        assert not redis.exists(*(f"quartet:1:p:{{={key}}}" for key in keys))
        lives = [redis.pttl(f"quartet:1:v:{{={key}}}") for key in keys]
    assert 895_000 < min(lives) < 950_000
    assert 1_050_000 < max(lives) <= 1_100_000


def test_the_index_forgets_sessions_that_redis_forgot(engines: Engines, sessions: Sessions) -> None:
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


def test_a_record_that_cannot_be_read_signs_nobody_in(engines: Engines, sessions: Sessions) -> None:
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


def test_an_evicted_permit_fills_nothing(engines: Engines, cache: Cache) -> None:
    key = f"{uuid4()}"
    [slot] = cache.read([key])
    with client(engines.cache()) as redis:
        redis.delete(f"quartet:1:p:{{={key}}}")
    cache.fill({key: (slot.permit or "", b"old")}, seconds=60)
    assert cache.read([key])[0].value is None


def test_both_names_of_a_key_are_in_one_hash_slot(engines: Engines, cache: Cache) -> None:
    keys = [f"{uuid4()}{tail}" for tail in ("", "}", "{", "{}", "{a}", "}{")]
    keys += [f"{head}{uuid4()}" for head in ("}", "{", "{}", "{a}", "}{")]
    slots = cache.read(keys)
    cache.fill({keys[0]: (slots[0].permit or "", b"v")}, seconds=60)
    with client(engines.cache()) as redis:
        for key in keys:
            value, permit = (f"quartet:1:{kind}:{{={key}}}" for kind in "vp")
            assert redis.exists(value, permit) == 1
            assert key_slot(value.encode()) == key_slot(permit.encode())
