"""Live streams on a Redis that evicts keys, is restarted, loses its scripts or does not answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis import Redis

from repositories.errors import Unavailable
from repositories.hot import LiveEvent, Streams, open_streams
from repositories.hot.streams_port import KEPT, LISTENING, Position
from tests.engines import Engines
from tests.engines.slack import SLACK

TIMEOUT = timedelta(seconds=0.4)


@pytest.fixture
def own_engines(own_engines: Engines) -> Iterator[Engines]:
    yield own_engines
    own_engines.heal()


@pytest.fixture
def streams(own_engines: Engines) -> Iterator[Streams]:
    store = open_streams(own_engines.cache().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


@pytest.fixture
def redis(own_engines: Engines) -> Iterator[Redis]:
    with Redis.from_url(own_engines.cache().url) as client:
        yield client


def event(text: object = "x") -> LiveEvent:
    return LiveEvent(f"{text}", "post", b"{}")


def keys(account_id: UUID) -> list[str]:
    return [f"quartet:1:live:{{{account_id.hex}}}:{part}" for part in ("head", "events", "keys")]


def is_lost(streams: Streams, account_id: UUID, at: Position) -> bool:
    [delta] = streams.since([(account_id, at)], limit=10)
    assert not (delta.lost and delta.events)
    return delta.lost


@pytest.mark.parametrize("part", [0, 1])
def test_an_evicted_key_is_reported_as_a_loss(streams: Streams, redis: Redis, part: int) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    streams.append([ada], event(1))
    redis.delete(keys(ada)[part])
    assert is_lost(streams, ada, start)
    streams.append([ada], event(2))
    assert is_lost(streams, ada, start)
    end = streams.listen(ada)
    streams.append([ada], event(3))
    [delta] = streams.since([(ada, end)], limit=10)
    assert (delta.events, delta.lost) == ((event(3),), False)


def test_lost_event_keys_cost_only_the_detection_of_duplicates(streams: Streams, redis: Redis) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    streams.append([ada], event(1))
    redis.delete(keys(ada)[2])
    streams.append([ada], event(1))
    streams.append([ada], event(1))
    [delta] = streams.since([(ada, start)], limit=10)
    assert delta.events == (event(1), event(1))


def test_a_lost_index_of_listeners_starts_a_new_epoch_at_the_next_listen(streams: Streams, redis: Redis) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    redis.delete("quartet:1:live:{listeners}:id")
    assert streams.listeners(after=None, limit=10) == []
    assert streams.listen(ada).epoch != start.epoch
    assert is_lost(streams, ada, start)
    assert streams.listeners(after=None, limit=10) == [ada]


def test_numbers_reused_by_a_promoted_replica_are_reported_as_a_loss(
    own_engines: Engines, streams: Streams, redis: Redis
) -> None:
    """The replica missed the second event before it was promoted, and has the stored server name of its master."""
    ada = uuid4()
    streams.listen(ada)
    streams.append([ada], event(1))
    missed = [(key, redis.dump(key) or b"") for key in keys(ada)]
    streams.append([ada], event(2))
    end = streams.listen(ada)
    for key, value in missed:
        redis.restore(key, 60_000, value, replace=True)
    redis.set("quartet:1:live:{listeners}:server", "another")
    with closing(open_streams(own_engines.cache().url, timeout=TIMEOUT, pool=4)) as promoted:
        promoted.append([ada], event(3))
        assert is_lost(promoted, ada, end)
        assert promoted.listen(ada).epoch != end.epoch
    assert is_lost(streams, ada, end)


def test_a_restart_is_reported_as_a_loss(own_engines: Engines, streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    streams.append([ada], event())
    own_engines.cache().kill()
    for call in (lambda: streams.append([ada], event()), lambda: streams.listen(ada)):
        with pytest.raises(Unavailable):
            call()
    own_engines.cache().restart()
    assert is_lost(streams, ada, start)
    assert streams.listen(ada).epoch != start.epoch


def test_lost_scripts_are_loaded_again(streams: Streams, redis: Redis) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    redis.script_flush()
    streams.append([ada], event())
    redis.script_flush()
    [delta] = streams.since([(ada, start)], limit=10)
    assert delta.events == (event(),)
    redis.script_flush()
    assert streams.listen(ada) == delta.position


def test_a_frozen_server_costs_no_more_than_the_deadline(own_engines: Engines, streams: Streams) -> None:
    ada = uuid4()
    at = streams.listen(ada)
    own_engines.cache().pause()
    calls = (
        lambda: streams.append([uuid4() for _ in range(1_000)], event()),
        lambda: streams.since([(ada, at)], limit=10),
        lambda: streams.listen(ada),
        lambda: streams.listeners(after=None, limit=10),
    )
    for call in calls:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            call()
        assert time.monotonic() - began < TIMEOUT.total_seconds() + SLACK


def test_every_key_expires_and_a_stream_is_trimmed(streams: Streams, redis: Redis) -> None:
    ada = uuid4()
    streams.listen(ada)
    for number in range(KEPT + 50):
        streams.append([ada], event(number))
    assert [redis.type(key) for key in keys(ada)] == [b"string", b"stream", b"zset"]
    for key in keys(ada):
        assert 0 < redis.pttl(key) <= LISTENING.total_seconds() * 1000
    assert (redis.xlen(keys(ada)[1]), redis.zcard(keys(ada)[2])) == (KEPT, KEPT)
    redis.pexpire(keys(ada)[0], 60_000)
    streams.append([ada], event("short"))
    assert all(redis.pttl(key) <= 60_000 for key in keys(ada))
    streams.listen(ada)
    assert all(redis.pttl(key) > 60_000 for key in keys(ada))


def test_the_index_of_listeners_drops_expired_listeners(streams: Streams, redis: Redis) -> None:
    gone, here = uuid4(), uuid4()
    streams.listen(gone)
    redis.zadd("quartet:1:live:{listeners}:end", {gone.hex: 1})
    streams.listen(here)
    assert redis.zscore("quartet:1:live:{listeners}:id", gone.hex) is None
    assert redis.zscore("quartet:1:live:{listeners}:id", here.hex) is not None


def test_appending_to_1000_accounts_with_few_listeners_takes_two_exchanges(streams: Streams, redis: Redis) -> None:
    everybody = [uuid4() for _ in range(1_000)]
    for one in everybody[:50]:
        streams.listen(one)
    before = commands(redis)
    streams.append(everybody, event())
    after = commands(redis)
    changed = {name: after[name] - before.get(name, 0) for name in ("cmdstat_mget", "cmdstat_evalsha")}
    assert changed == {"cmdstat_mget": 1, "cmdstat_evalsha": 50}


def commands(redis: Redis) -> dict[str, int]:
    return {name: stats["calls"] for name, stats in redis.info("commandstats").items()}


def test_concurrent_first_listeners_miss_nothing_or_see_a_loss(streams: Streams) -> None:
    """Listeners with another epoch would get a resync. At least one has the stored epoch and misses nothing."""
    ada, start = uuid4(), threading.Barrier(4)
    found: list[Position] = []

    def listen() -> None:
        start.wait()
        found.append(streams.listen(ada))

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    streams.append([ada], event())
    deltas = streams.since([(ada, at) for at in found], limit=10)
    assert all(delta.lost or delta.events == (event(),) for delta in deltas)
    assert any(not delta.lost for delta in deltas)
