"""The contract of `Cache`: additions to values."""

from repositories.hot import Cache
from tests.contracts.hot.cached_values import body, lease, put, read, store


def test_additions_are_read_beside_the_value(cache: Cache, key: str) -> None:
    store(cache, key, b"first")
    before = read(cache, key)
    cache.extend([key, f"{key} unknown"], b"ab", most=100)
    cache.extend([key], b"cd", most=100)
    after = read(cache, key)
    assert before
    assert after
    assert before.stamp != after.stamp
    assert (after.value, before.more, after.more) == (before.value, b"", b"abcd")
    assert read(cache, f"{key} unknown") is None
    store_again = lease(cache, key, after.stamp)
    assert put(cache, key, store_again, b"second") == {key}
    assert (body(cache, key), read(cache, key).more) == (b"second", b"")  # type: ignore[union-attr]


def test_a_value_with_too_long_additions_is_removed(cache: Cache, key: str) -> None:
    store(cache, key, b"first")
    cache.extend([key], b"abc", most=5)
    cache.extend([key], b"ab", most=5)
    assert read(cache, key).more == b"abcab"  # type: ignore[union-attr]
    cache.extend([key], b"c", most=5)
    assert read(cache, key) is None


def test_a_value_read_before_an_addition_cannot_be_stored_after_it(cache: Cache, key: str) -> None:
    mine = lease(cache, key)
    cache.extend([key], b"new", most=100)
    assert put(cache, key, mine, b"old") == set()
    store(cache, key, b"known")
    renewing = lease(cache, key, read(cache, key).stamp)  # type: ignore[union-attr]
    cache.extend([key], b"new", most=100)
    assert put(cache, key, renewing, b"old") == set()
    assert read(cache, key).more == b"new"  # type: ignore[union-attr]


def test_nothing_is_added_to_a_void_value(cache: Cache, key: str) -> None:
    store(cache, key, b"first")
    cache.void()
    cache.extend([key], b"ab", most=100)
    assert read(cache, key) is None
