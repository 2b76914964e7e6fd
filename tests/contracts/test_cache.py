"""The contract of `Cache`, for every adapter."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Invalid
from repositories.hot import Cache, Fill, Held, Value, open_cache
from tests.contracts.relational_store import new_database

TIMEOUT = timedelta(seconds=5)
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
_NEVER = Held(Value(None), 1.0, b"")
VALUES = [b"", b"\x00", b"\xff\xfe\r\n$-1\r\n", bytes(range(256)), b"x" * 300_000]


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "cluster", "postgres"))],
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    if request.param == "redis":
        return str(request.getfixturevalue("engines").cache().url)
    if request.param == "cluster":
        return str(request.getfixturevalue("redis_cluster"))
    return f"sqlite:///{tmp_path_factory.mktemp('cache') / 'hot.db'}"


@pytest.fixture
def cache(url: str) -> Iterator[Cache]:
    store = open_cache(url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def key() -> str:
    return f"key:{uuid4()}"


def read(cache: Cache, key: str) -> Held | None:
    [held] = cache.read([key])
    return held


def body(cache: Cache, key: str) -> bytes | None:
    held = read(cache, key)
    return held.value.body if held else None


def bodies(cache: Cache, keys: Sequence[str]) -> list[bytes | None]:
    return [held.value.body if held else None for held in cache.read(keys)]


def lease(cache: Cache, key: str, seen: bytes = b"") -> bytes:
    [mine] = cache.lease({key: seen})
    assert isinstance(mine, bytes)
    return mine


def put(cache: Cache, key: str, mine: bytes, what: bytes, *, fresh: float = 60, stale: float = 0) -> set[str]:
    return cache.fill({key: Fill(mine, Value(what), fresh, stale)})


def store(cache: Cache, key: str, what: bytes, *, fresh: float = 60, stale: float = 0) -> None:
    assert put(cache, key, lease(cache, key), what, fresh=fresh, stale=stale) == {key}


def soon(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


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

    assert soon(taken_over)
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
    assert soon(lambda: (read(cache, key) or _NEVER).left < 0)
    assert body(cache, key) == b"value"
    cache.drop([key])
    assert read(cache, key) is None


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


def test_void_is_seen_by_other_clients(url: str, cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    other = open_cache(url, timeout=TIMEOUT, pool=1)
    other.void()
    assert read(cache, key) is None
    store(cache, key, b"value")
    assert body(other, key) == b"value"
    other.void(unless_done=True)
    other.close()
    assert read(cache, key) is None


@pytest.mark.parametrize("fresh", [0, 1])
def test_a_value_expires_after_its_time(cache: Cache, key: str, fresh: int) -> None:
    store(cache, key, b"value", fresh=fresh)
    assert soon(lambda: read(cache, key) is None)
    store(cache, key, b"value again")
    assert body(cache, key) == b"value again"


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


def test_a_drop_by_one_client_ends_the_lease_of_another(url: str, cache: Cache, key: str) -> None:
    other = open_cache(url, timeout=TIMEOUT, pool=1)
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


def test_migrating_again_does_nothing(cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    assert cache.migrate(dry_run=True) == []
    assert cache.migrate() == []
    assert body(cache, key) == b"value"
    cache.ping()


def page(cache: Cache, key: str, parts: Sequence[str], mine: bytes | None = None) -> bool:
    """Store a page made of the current values of these parts."""
    stamps = {part: held.stamp for part, held in zip(parts, cache.read(parts), strict=True) if held}
    assert len(stamps) == len(parts)
    fill = Fill(mine or lease(cache, key), Value(b"page", 3, '"3-a"'), 60, parts=stamps)
    return cache.fill({key: fill}) == {key}


@pytest.fixture
def parts(cache: Cache, key: str) -> list[str]:
    found = [f"{key}:part {n}{char}" for n, char in enumerate(["", "\u00e9", "\x00", "\U0001f600"])]
    for part in found:
        store(cache, part, b"part")
    return found


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
    assert soon(lambda: cache.whole(key) is None)


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


def test_an_addition_to_a_part_ends_the_page(cache: Cache, key: str, parts: list[str]) -> None:
    assert page(cache, key, parts)
    assert cache.whole(key, exact=True) is not None
    cache.extend(parts[:1], b"more", most=100)
    assert cache.whole(key, exact=True) is None


def test_nothing_is_added_to_a_void_value(cache: Cache, key: str) -> None:
    store(cache, key, b"first")
    cache.void()
    cache.extend([key], b"ab", most=100)
    assert read(cache, key) is None
