"""The contract of `Cache`: pages, which end with their parts."""

import time
from collections.abc import Sequence

import pytest

from repositories.hot import Cache, Fill, Value
from tests.contracts.hot.cached_values import bodies, lease, put, store
from tests.engines.kernel import wait_until


def page(cache: Cache, key: str, parts: Sequence[str], mine: bytes | None = None) -> bool:
    """Store a page made of the current values of these parts."""
    stamps = {part: held.stamp for part, held in zip(parts, cache.read(parts), strict=True) if held}
    assert len(stamps) == len(parts)
    fill = Fill(mine or lease(cache, key), Value(b"page", 3, '"3-a"'), 60, parts=stamps)
    return cache.fill({key: fill}) == {key}


def test_a_page_is_served_while_its_parts_are_unchanged(cache: Cache, key: str, parts: list[str]) -> None:
    assert cache.whole(key) is None
    assert page(cache, key, parts)
    held = cache.whole(key)
    assert held
    assert held.value == Value(b"page", 3, '"3-a"')
    assert 50 < held.left < 70
    assert 0 <= held.age < 5
    assert bodies(cache, [key]) == [b"page"]


def test_a_page_and_other_keys_are_read_together(cache: Cache, key: str, parts: list[str]) -> None:
    keys = [parts[1], f"{key}:nowhere", parts[0]]
    assert cache.whole_beside(key, []) == (None, [])
    assert page(cache, key, parts)
    # Repeat it, since on Redis a page that is read often is answered from the memory of the process.
    for _ in range(4):
        held, beside = cache.whole_beside(key, keys)
        assert held
        assert held.value == Value(b"page", 3, '"3-a"')
        assert [one and one.value.body for one in beside] == [b"part", None, b"part"]
    cache.drop([parts[0]])
    held, beside = cache.whole_beside(key, keys)
    assert (held, [one and one.value.body for one in beside]) == (None, [b"part", None, None])
    store(cache, parts[0], b"part")
    assert page(cache, key, parts)
    cache.void()
    assert cache.whole_beside(key, keys) == (None, [None, None, None])


def test_a_lifetime_that_counts_from_the_read_is_never_exceeded(cache: Cache, key: str) -> None:
    began = time.monotonic()
    assert cache.fill({key: Fill(lease(cache, key), Value(b"late"), 60, since=began - 61)}) == set()
    assert cache.read([key]) == [None]
    assert cache.fill({key: Fill(lease(cache, key), Value(b"soon"), 60, since=began - 30)}) == {key}
    [held] = cache.read([key])
    assert held
    assert held.left <= 30


@pytest.mark.parametrize("n", range(4))
def test_a_part_that_is_dropped_ends_the_page(cache: Cache, key: str, parts: list[str], n: int) -> None:
    assert page(cache, key, parts)
    cache.drop([parts[n]])
    assert cache.whole(key) is None
    assert bodies(cache, [key]) == [None]
    store(cache, parts[n], b"part")
    assert cache.whole(key) is None
    assert page(cache, key, parts)
    assert cache.whole(key)


def test_a_part_that_is_replaced_ends_the_page(cache: Cache, key: str, parts: list[str]) -> None:
    assert page(cache, key, parts)
    [held] = cache.read([parts[1]])
    assert held
    assert put(cache, parts[1], lease(cache, parts[1], held.stamp), b"part") == {parts[1]}
    assert cache.whole(key) is None


def test_a_page_of_a_part_that_changed_meanwhile_is_not_stored(cache: Cache, key: str, parts: list[str]) -> None:
    mine = lease(cache, key)
    stamps = {part: held.stamp for part, held in zip(parts, cache.read(parts), strict=True) if held}
    cache.drop([parts[2]])
    store(cache, parts[2], b"part")
    assert cache.fill({key: Fill(mine, Value(b"page"), 60, parts=stamps)}) == set()
    assert cache.whole(key) is None
    lease(cache, key)


@pytest.mark.parametrize("stamp", [b"", b"x", b"x" * 16, b"x" * 40])
def test_a_page_with_a_wrong_part_stamp_is_not_stored(cache: Cache, key: str, parts: list[str], stamp: bytes) -> None:
    for part in (parts[0], f"{key}:nowhere"):
        fill = Fill(lease(cache, key), Value(b"page"), 60, parts={part: stamp})
        assert cache.fill({key: fill}) == set()


def test_a_part_that_expires_ends_the_page(cache: Cache, key: str) -> None:
    part = f"{key}:brief"
    store(cache, part, b"part", fresh=0.2)
    assert page(cache, key, [part])
    assert wait_until(lambda: cache.whole(key) is None, seconds=5)


def test_dropping_and_voiding_a_page_itself(cache: Cache, key: str, parts: list[str]) -> None:
    assert page(cache, key, parts)
    cache.drop([key])
    assert cache.whole(key) is None
    assert page(cache, key, [])
    assert cache.whole(key)
    cache.void()
    assert cache.whole(key) is None


def test_many_parts(cache: Cache, key: str) -> None:
    parts = [f"{key}:{n}" for n in range(700)]
    leases = dict(zip(parts, cache.lease(dict.fromkeys(parts, b"")), strict=True))
    cache.fill({part: Fill(mine, Value(b""), 60) for part, mine in leases.items() if isinstance(mine, bytes)})
    assert page(cache, key, parts)
    assert cache.whole(key)
    cache.drop(parts[650:651])
    assert cache.whole(key) is None


def test_an_addition_to_a_part_ends_the_page(cache: Cache, key: str, parts: list[str]) -> None:
    assert page(cache, key, parts)
    assert cache.whole(key, exact=True) is not None
    cache.extend(parts[:1], b"more", most=100)
    assert cache.whole(key, exact=True) is None
