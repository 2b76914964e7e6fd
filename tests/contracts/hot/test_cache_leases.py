"""The contract of `Cache`: leases."""

from repositories.hot import Cache, Fill, Held, Value
from tests.contracts.hot.cached_values import bodies, body, lease, put, read, store
from tests.engines.kernel import wait_until


def test_one_caller_at_a_time_has_the_lease(cache: Cache, key: str) -> None:
    mine = lease(cache, key)
    assert cache.lease({key: b""}) == [None]
    cache.release({key: b"made up", f"{key}:other": mine})
    assert cache.lease({key: b""}) == [None]
    cache.release({key: mine})
    theirs = lease(cache, key)
    assert theirs != mine
    assert put(cache, key, mine, b"too late") == set()
    cache.release({key: mine})
    assert put(cache, key, theirs, b"value") == {key}
    assert body(cache, key) == b"value"


def test_a_lease_that_was_not_used_is_taken_over(cache: Cache, key: str) -> None:
    first = lease(cache, key)
    answers: list[Held | bytes | None] = [None]

    def taken_over() -> bool:
        answers[:] = cache.lease({key: b""})
        return answers != [None]

    assert wait_until(taken_over, seconds=5)
    [second] = answers
    assert isinstance(second, bytes)
    assert put(cache, key, first, b"slow, but of the same generation") == {key}
    assert put(cache, key, second, b"second") == set()


def test_a_lease_request_for_a_value_loaded_meanwhile_gets_it(cache: Cache, key: str) -> None:
    store(cache, key, b"one")
    first = read(cache, key)
    assert first
    [found] = cache.lease({key: b""})
    assert isinstance(found, Held)
    assert found.value == first.value
    mine = lease(cache, key, seen=first.stamp)
    assert body(cache, key) == b"one"
    assert cache.lease({key: first.stamp}) == [None]
    put(cache, key, mine, b"two")
    [found] = cache.lease({key: first.stamp})
    assert isinstance(found, Held)
    assert found.value.body == b"two"
    assert 50 < found.left < 70


def test_a_lease_may_be_used_once(cache: Cache, key: str) -> None:
    mine = lease(cache, key)
    put(cache, key, mine, b"one")
    assert put(cache, key, mine, b"two") == set()
    assert body(cache, key) == b"one"
    held = read(cache, key)
    assert held
    lease(cache, key, seen=held.stamp)


def test_a_made_up_lease_or_that_of_another_key_fills_nothing(cache: Cache, key: str) -> None:
    for made_up in (b"", b"made up", b"\x00" * 16):
        assert put(cache, key, made_up, b"value") == set()
    other = f"{key}:other"
    mine = lease(cache, other)
    lease(cache, key)
    assert put(cache, key, mine, b"value") == set()
    cache.drop([key])
    assert put(cache, other, mine, b"untouched by the drop") == {other}


def test_of_several_fills_only_those_with_a_valid_lease_are_stored(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(6)]
    leases = [lease(cache, k) for k in keys]
    cache.drop({keys[1], keys[4]})
    stored = cache.fill({k: Fill(mine, Value(b"v"), 60) for k, mine in zip(keys, leases, strict=True)})
    assert stored == {keys[n] for n in (0, 2, 3, 5)}
    assert bodies(cache, keys) == [b"v", None, b"v", b"v", None, b"v"]
