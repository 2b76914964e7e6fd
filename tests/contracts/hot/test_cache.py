"""The contract of `Cache`: values and their keys."""

import pytest

from repositories.errors import Invalid
from repositories.hot import Cache, Fill, Value
from tests.contracts.hot.cached_values import bodies, body, lease, read, store
from tests.engines.kernel import wait_until

KEYS = [
    *(
        "",
        " ",
        "two words",
        "a:b",
        "{a}",
        "}{",
        "}",
        "{",
        "{}",
        "{}x",
        "a}b{c",
        "*",
        "%",
        "'",
        '"',
        "\\",
        "\r\n",
    ),
    *(
        "\x00",
        "a\x00b",
        "a\x00c",
        "A",
        "a",
        "i",
        "I",
        "\u0130",
        "\u0131",
        "\u00e9",
        "e\u0301",
        "\u05e9\u05dc",
    ),
    *("\U0001f600", "\U0001f469\u200d\U0001f467", "x" * 3_000),
]
VALUES = [b"", b"\x00", b"\xff\xfe\r\n$-1\r\n", bytes(range(256)), b"x" * 300_000]


def test_the_lease_holder_fills_and_all_read(cache: Cache, key: str) -> None:
    assert read(cache, key) is None
    value = Value(b"body", version=7, etag='"7-\u00e9"', note=b"\x00note", cost=0.25)
    assert cache.fill({key: Fill(lease(cache, key), value, 60)}) == {key}
    held = read(cache, key)
    assert held
    assert held.value == value
    assert 50 < held.left < 70


def test_an_absent_thing_is_a_value_without_a_body(cache: Cache, key: str) -> None:
    cache.fill({key: Fill(lease(cache, key), Value(None), 60)})
    held = read(cache, key)
    assert held
    assert held.value == Value(None)


def test_answers_come_in_the_order_of_the_keys(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(7)]
    for n in (1, 4, 5):
        store(cache, keys[n], str(n).encode())
    asked = [*reversed(keys), keys[4], keys[0], keys[0]]
    assert bodies(cache, asked) == [k[-1].encode() if k[-1] in "145" else None for k in asked]
    answers = cache.lease(dict.fromkeys(asked, b""))
    assert [type(a) is bytes for a in answers] == [k[-1] not in "145" for k in dict.fromkeys(asked)]


def test_many_keys_at_once(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(1_200)]
    leases = cache.lease(dict.fromkeys(keys, b""))
    fills = {k: Fill(mine, Value(k.encode()), 60) for k, mine in zip(keys, leases, strict=True) if type(mine) is bytes}
    assert cache.fill(fills) == set(keys)
    assert bodies(cache, keys) == [k.encode() for k in keys]
    cache.drop(keys)
    assert cache.read(keys) == [None] * 1_200


def test_calls_without_keys_do_nothing(cache: Cache) -> None:
    assert cache.read([]) == []
    assert cache.lease({}) == []
    assert cache.fill({}) == set()
    cache.release({})
    cache.drop([])
    cache.drop(set())


def test_keys_are_any_text_and_never_mixed_up(cache: Cache, key: str) -> None:
    keys = list(dict.fromkeys([*(key + tail for tail in KEYS), *(tail + key for tail in KEYS), *KEYS]))
    cache.drop(keys)
    for n, k in enumerate(keys):
        store(cache, k, f"value of {n}".encode())
    assert bodies(cache, keys) == [f"value of {n}".encode() for n in range(len(keys))]
    cache.drop([keys[3]])
    assert [k for k, held in zip(keys, cache.read(keys), strict=True) if held is None] == [keys[3]]
    cache.drop(keys)


def test_a_lone_surrogate_is_invalid(cache: Cache, key: str) -> None:
    for call in (
        lambda: cache.read(["\ud800"]),
        lambda: cache.lease({"\ud800": b""}),
        lambda: cache.fill({"\ud800": Fill(b"lease", Value(b""), 60)}),
        lambda: cache.fill({key: Fill(b"lease", Value(b"", etag="\ud800"), 60)}),
        lambda: cache.release({"\ud800": b"lease"}),
        lambda: cache.drop(["\ud800"]),
    ):
        with pytest.raises(Invalid):
            call()


@pytest.mark.parametrize("what", VALUES, ids=len)
def test_bodies_are_any_bytes(cache: Cache, key: str, what: bytes) -> None:
    store(cache, key, what)
    assert body(cache, key) == what


def test_a_too_large_value_is_not_stored_and_its_lease_ends(cache: Cache, key: str) -> None:
    small = f"{key}:small"
    fills = {
        key: Fill(lease(cache, key), Value(b"x" * (1 << 20)), 60),
        small: Fill(lease(cache, small), Value(b"x"), 60),
    }
    assert cache.fill(fills) == {small}
    assert read(cache, key) is None
    lease(cache, key)


@pytest.mark.parametrize("fresh", [0, 1])
def test_a_value_expires_after_its_time(cache: Cache, key: str, fresh: int) -> None:
    store(cache, key, b"value", fresh=fresh)
    assert wait_until(lambda: read(cache, key) is None, seconds=5)
    store(cache, key, b"value again")
    assert body(cache, key) == b"value again"


def test_migrating_again_does_nothing(cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    assert cache.migrate(dry_run=True) == []
    assert cache.migrate() == []
    assert body(cache, key) == b"value"
    cache.ping()
