"""Pages leased to the memory of other processes: only writers that drop a part of a leased page wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from redis import Redis

from repositories.hot import Fill, Value
from repositories.hot.redis.cache import RedisCache
from repositories.hot.redis.read_leases import WAIT, Near
from tests.engines import Shared
from tests.engines.kernel import wait_until

READ_LEASES = "quartet:5:read-leases"
TIMEOUT = timedelta(seconds=5)


class Process:
    """A client with its own memory, like a process. `waits` records its waits in seconds; it only waits if `really`."""

    def __init__(self, url: str, *, really: bool = False) -> None:
        self.waits: list[float] = []
        near = Near() if really else Near(pause=self.waits.append)
        self.cache = RedisCache(url, timeout=TIMEOUT, pool=8, near=near)

    def store(self, key: str, version: int = 1, parts: tuple[str, ...] = ()) -> bool:
        held = self.cache.read(parts)
        [mine] = self.cache.lease({key: b""})
        if not isinstance(mine, bytes) or None in held:
            return False
        stamps = {part: one.stamp for part, one in zip(parts, held, strict=True) if one}
        return bool(self.cache.fill({key: Fill(mine, Value(b"", version), 60, parts=stamps)}))

    def lease(self, page: str) -> None:
        assert self.cache.whole(page)
        assert self.cache.whole(page)

    def waits_for(self, *keys: str) -> bool:
        self.waits.clear()
        self.cache.drop(keys)
        return self.waits == [WAIT]


Make = Callable[..., Process]


@pytest.fixture
def make(engines: Shared) -> Iterator[Make]:
    made: list[Process] = []

    def process(*, really: bool = False) -> Process:
        made.append(Process(engines.cache().url, really=really))
        return made[-1]

    yield process
    for one in made:
        one.cache.close()


@pytest.fixture
def redis(engines: Shared) -> Iterator[Redis]:
    client = Redis.from_url(engines.cache().url)
    yield client
    client.close()


@pytest.fixture
def key(make: Make) -> str:
    """An unused name. All earlier read leases of the store have expired."""
    name, process = f"near:{uuid4()}", make()
    assert wait_until(lambda: not process.waits_for(name), seconds=5)
    return name


def test_only_writers_that_drop_a_part_of_a_leased_page_wait(make: Make, key: str) -> None:
    one, other, third = make(), make(), make()

    def waits(page: str) -> list[bool]:
        """Whether a writer waits that drops an unrelated key, this and a part, another part, and the page itself."""
        parts = tuple(f"{page}:{n}" for n in range(3))
        assert all(one.store(part) for part in parts)
        assert one.store(page, parts=parts)
        assert not one.waits_for(f"{page}:unknown")
        other.lease(page)
        unknown = f"{page}:unknown"
        return [
            one.waits_for(unknown),
            one.waits_for(unknown, parts[2]),
            third.waits_for(parts[0]),
            third.waits_for(page),
        ]

    # Retry it: on a busy machine the short lease may expire before everything is dropped.
    assert wait_until(lambda: waits(f"{key}:{uuid4()}") == [False, True, True, True], seconds=5)


def test_no_writer_waits_for_a_page_that_was_read_once(make: Make, key: str) -> None:
    one, other = make(), make()
    assert one.store(f"{key}:part")
    assert one.store(key, parts=(f"{key}:part",))
    assert other.cache.whole(key)
    assert not one.waits_for(f"{key}:part")


def test_a_read_lease_expires(make: Make, key: str) -> None:
    one, other = make(), make()

    def is_lent() -> bool:
        assert one.store(key)
        other.lease(key)
        return one.waits_for(key)

    assert wait_until(is_lent, seconds=5)
    assert wait_until(lambda: not one.waits_for(key), seconds=5)


def test_every_writer_waits_when_the_read_leases_are_lost(make: Make, key: str, redis: Redis) -> None:
    one = make()

    def waits() -> bool:
        redis.delete(READ_LEASES)
        return one.waits_for(key) and one.waits_for(f"{key}:other")

    assert wait_until(waits, seconds=5)
    assert 0 < redis.ttl(READ_LEASES) <= 7 * 24 * 3600
    assert wait_until(lambda: not one.waits_for(key), seconds=5)


def test_a_process_forgets_a_page_when_it_replaces_a_part(make: Make, key: str) -> None:
    one = make()
    assert one.store(f"{key}:part")
    assert one.store(key, parts=(f"{key}:part",))
    one.lease(key)
    [held] = one.cache.read([f"{key}:part"])
    assert held
    [mine] = one.cache.lease({f"{key}:part": held.stamp})
    assert isinstance(mine, bytes)
    one.cache.fill({f"{key}:part": Fill(mine, Value(b""), 60)})
    assert one.cache.whole(key) is None


def test_other_processes_never_read_values_older_than_an_answered_write(make: Make, key: str) -> None:
    """A writer changes a part and drops it, while two processes read as fast as they can."""
    answered, ended, wrong, hits = [0], threading.Event(), list[str](), [0]
    part, writer = f"{key}:part", make(really=True)

    def look(process: Process) -> None:
        while not ended.is_set():
            before = answered[0]
            held = process.cache.whole(key)
            hits[0] += held is not None
            if held and held.value.version < before:
                wrong.append(f"{held.value.version} after the answer to {before}")

    def write() -> None:
        try:
            for version in range(1, 151):
                writer.cache.drop([part])
                answered[0] = version
                # On a busy machine a fill may come after its lease has expired, and store nothing.
                assert wait_until(lambda version=version: writer.store(part, version), seconds=5)  # type: ignore[misc]  # a default
                assert wait_until(lambda version=version: writer.store(key, version, parts=(part,)), seconds=5)  # type: ignore[misc]
                before = hits[0]
                assert wait_until(lambda before=before: hits[0] > before + 20, seconds=5)  # type: ignore[misc]  # a default
        finally:
            ended.set()

    with ThreadPoolExecutor(3) as pool:
        for job in [pool.submit(write), *(pool.submit(look, make(really=True)) for _ in range(2))]:
            job.result()
    assert wrong == []
