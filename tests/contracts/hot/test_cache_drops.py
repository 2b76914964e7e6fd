"""The contract of `Cache`: dropping values."""

import threading
from concurrent.futures import ThreadPoolExecutor

from repositories.hot import Cache, open_cache
from tests.contracts.hot.cached_values import MISSING, TIMEOUT, bodies, body, lease, put, read, store
from tests.engines.kernel import wait_until


def test_a_value_read_before_a_drop_cannot_be_stored_after_it(cache: Cache, key: str) -> None:
    mine = lease(cache, key)
    cache.drop([key])
    assert put(cache, key, mine, b"old") == set()
    assert read(cache, key) is None


def test_a_dropped_lease_fills_nothing_beside_a_later_lease(cache: Cache, key: str) -> None:
    mine = lease(cache, key)
    cache.drop([key])
    theirs = lease(cache, key)
    assert theirs != mine
    assert put(cache, key, mine, b"old") == set()
    assert read(cache, key) is None
    assert put(cache, key, theirs, b"new") == {key}
    assert put(cache, key, mine, b"old") == set()
    assert body(cache, key) == b"new"


def test_a_dropped_lease_to_renew_a_value_fills_nothing(cache: Cache, key: str) -> None:
    store(cache, key, b"old")
    held = read(cache, key)
    assert held
    mine = lease(cache, key, seen=held.stamp)
    cache.drop([key])
    assert read(cache, key) is None
    assert put(cache, key, mine, b"old too") == set()
    assert read(cache, key) is None
    lease(cache, key, seen=held.stamp)


def test_a_drop_removes_stale_values_too(cache: Cache, key: str) -> None:
    store(cache, key, b"value", fresh=0, stale=60)
    assert wait_until(lambda: (read(cache, key) or MISSING).left < 0, seconds=5)
    assert body(cache, key) == b"value"
    cache.drop([key])
    assert read(cache, key) is None


def test_a_drop_removes_only_what_it_names(cache: Cache, key: str) -> None:
    store(cache, key, b"mine")
    store(cache, f"{key}x", b"theirs")
    cache.drop([key, key, f"{key} unknown"])
    assert read(cache, key) is None
    assert body(cache, f"{key}x") == b"theirs"


def test_void_removes_every_earlier_value_and_lease(cache: Cache, key: str) -> None:
    stored, leased = f"{key}:stored", f"{key}:leased"
    store(cache, stored, b"value")
    mine = lease(cache, leased)
    held = read(cache, stored)
    assert held
    cache.void()
    assert cache.read([stored, leased]) == [None, None]
    assert put(cache, leased, mine, b"old") == set()
    theirs = lease(cache, leased)
    assert put(cache, leased, mine, b"old") == set()
    assert put(cache, leased, theirs, b"new") == {leased}
    lease(cache, stored, seen=held.stamp)
    assert bodies(cache, [stored, leased]) == [None, b"new"]


def test_void_is_seen_by_other_clients(cache_url: str, cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    other = open_cache(cache_url, timeout=TIMEOUT, pool=1)
    other.void()
    assert read(cache, key) is None
    store(cache, key, b"value")
    assert body(other, key) == b"value"
    other.void(unless_done=True)
    other.close()
    assert read(cache, key) is None


def test_no_race_leaves_an_old_value(cache: Cache, key: str) -> None:
    """A writer changes the source and drops; readers read through. At the end the cache has the last value or none."""
    source = [0]
    start = threading.Barrier(4)

    def write() -> None:
        start.wait()
        for version in range(1, 41):
            source[0] = version
            cache.drop([key])
            assert int(body(cache, key) or version) == version

    def read_through() -> None:
        start.wait()
        for _ in range(60):
            if read(cache, key) is None:
                [mine] = cache.lease({key: b""})
                if isinstance(mine, bytes):
                    put(cache, key, mine, str(source[0]).encode())

    with ThreadPoolExecutor(4) as threads:
        for job in [threads.submit(write), *(threads.submit(read_through) for _ in range(3))]:
            job.result()
    assert body(cache, key) in {None, b"40"}


def test_a_drop_by_one_client_ends_the_lease_of_another(cache_url: str, cache: Cache, key: str) -> None:
    other = open_cache(cache_url, timeout=TIMEOUT, pool=1)
    try:
        mine = lease(cache, key)
        assert other.lease({key: b""}) == [None]
        other.drop([key])
        assert put(cache, key, mine, b"old") == set()
        assert read(other, key) is None
        store(other, key, b"new")
        assert body(cache, key) == b"new"
    finally:
        other.close()
