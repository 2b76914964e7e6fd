"""What every cache promises."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Invalid
from repositories.hot import Cache, Slot, open_cache

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
VALUES = [b"", b"\x00", b"\xff\xfe\r\n$-1\r\n", bytes(range(256)), b"x" * 300_000]


@pytest.fixture(scope="module", params=["embedded", pytest.param("redis", marks=pytest.mark.engines)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("engines").cache().url)
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


def read(cache: Cache, key: str) -> Slot:
    [slot] = cache.read([key])
    return slot


def permit(cache: Cache, key: str) -> str:
    slot = read(cache, key)
    assert slot.value is None
    assert slot.permit
    return slot.permit


def store(cache: Cache, key: str, value: bytes, *, seconds: int = 60) -> None:
    cache.fill({key: (permit(cache, key), value)}, seconds=seconds)


def soon(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def test_a_miss_hands_out_a_permit_and_a_fill_makes_it_a_hit(cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    assert read(cache, key) == Slot(b"value", None)


def test_slots_come_in_the_order_of_the_keys(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(7)]
    for n in (1, 4, 5):
        store(cache, keys[n], str(n).encode())
    asked = [*reversed(keys), keys[4], keys[0], keys[0]]
    slots = cache.read(asked)
    assert [slot.value for slot in slots] == [str(int(k[-1])).encode() if k[-1] in "145" else None for k in asked]
    assert all((slot.permit is None) == (slot.value is not None) for slot in slots)
    assert slots[-1] == slots[-2] == slots[6]


def test_many_keys_at_once(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(1_200)]
    slots = cache.read(keys)
    cache.fill({k: (s.permit or "", k.encode()) for k, s in zip(keys, slots, strict=True)}, seconds=60)
    assert [slot.value for slot in cache.read(keys)] == [k.encode() for k in keys]
    cache.drop(keys)
    assert not any(slot.value for slot in cache.read(keys))


def test_nothing_is_asked_for_nothing(cache: Cache) -> None:
    assert cache.read([]) == []
    cache.fill({}, seconds=60)
    cache.drop([])
    cache.drop(set())


def test_keys_are_any_text_and_never_mixed_up(cache: Cache, key: str) -> None:
    keys = [key + tail for tail in KEYS] + [tail + key for tail in KEYS]
    permits = [slot.permit or "" for slot in cache.read(keys)]
    entries = {k: (p, f"value of {n}".encode()) for n, (k, p) in enumerate(zip(keys, permits, strict=True))}
    cache.fill(entries, seconds=60)
    assert [slot.value for slot in cache.read(keys)] == [entries[k][1] for k in keys]
    cache.drop([keys[3]])
    assert [k for k, slot in zip(keys, cache.read(keys), strict=True) if slot.value is None] == [keys[3]]


def test_bare_keys_without_anything_around_them(cache: Cache) -> None:
    cache.drop(KEYS)
    for text in KEYS:
        store(cache, text, text.encode())
    assert [slot.value for slot in cache.read(KEYS)] == [text.encode() for text in KEYS]
    cache.drop(KEYS)


def test_a_lone_surrogate_is_invalid(cache: Cache) -> None:
    with pytest.raises(Invalid):
        cache.read(["\ud800"])
    with pytest.raises(Invalid):
        cache.fill({"\ud800": ("permit", b"")}, seconds=60)
    with pytest.raises(Invalid):
        cache.drop(["\ud800"])


@pytest.mark.parametrize("value", VALUES, ids=len)
def test_values_are_any_bytes(cache: Cache, key: str, value: bytes) -> None:
    store(cache, key, value)
    assert read(cache, key).value == value


def test_a_value_read_before_a_drop_cannot_be_stored_after_it(cache: Cache, key: str) -> None:
    mine = permit(cache, key)
    cache.drop([key])
    cache.fill({key: (mine, b"old")}, seconds=60)
    assert read(cache, key).value is None


def test_nor_when_another_reader_came_after_the_drop(cache: Cache, key: str) -> None:
    mine = permit(cache, key)
    cache.drop([key])
    theirs = permit(cache, key)
    assert theirs != mine
    cache.fill({key: (mine, b"old")}, seconds=60)
    assert read(cache, key).value is None
    cache.fill({key: (theirs, b"new")}, seconds=60)
    cache.fill({key: (mine, b"old")}, seconds=60)
    assert read(cache, key).value == b"new"


def test_a_drop_of_a_stored_value_is_a_miss_and_voids_what_filled_it(cache: Cache, key: str) -> None:
    mine = permit(cache, key)
    cache.fill({key: (mine, b"first")}, seconds=60)
    cache.drop([key])
    cache.fill({key: (mine, b"again")}, seconds=60)
    assert read(cache, key).value is None


def test_a_permit_nobody_gave_fills_nothing(cache: Cache, key: str) -> None:
    cache.fill({key: ("made up", b"value")}, seconds=60)
    assert read(cache, key).value is None
    cache.fill({key: ("", b"value")}, seconds=60)
    assert read(cache, key).value is None


def test_a_permit_is_for_its_own_key(cache: Cache, key: str) -> None:
    permit(cache, key)
    other = permit(cache, f"{key}:other")
    cache.fill({key: (other + "?", b"value")}, seconds=60)
    assert read(cache, key).value is None
    cache.drop([key])
    cache.fill({f"{key}:other": (other, b"untouched by the drop")}, seconds=60)
    assert read(cache, f"{key}:other").value == b"untouched by the drop"


def test_readers_who_miss_together_share_a_permit_and_may_both_fill(cache: Cache, key: str) -> None:
    first, second = permit(cache, key), permit(cache, key)
    assert first == second
    cache.fill({key: (first, b"one")}, seconds=60)
    cache.fill({key: (second, b"two")}, seconds=60)
    assert read(cache, key) == Slot(b"one", None)


def test_of_several_fills_only_those_in_force_are_stored(cache: Cache, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(6)]
    slots = cache.read(keys)
    cache.drop({keys[1], keys[4]})
    cache.fill({k: (s.permit or "", b"v") for k, s in zip(keys, slots, strict=True)}, seconds=60)
    assert [slot.value for slot in cache.read(keys)] == [b"v", None, b"v", b"v", None, b"v"]


def test_a_drop_removes_only_what_it_names(cache: Cache, key: str) -> None:
    store(cache, key, b"mine")
    store(cache, f"{key}x", b"theirs")
    cache.drop([key, key, f"{key} unknown"])
    assert read(cache, key).value is None
    assert read(cache, f"{key}x").value == b"theirs"


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_value_lives_its_time(cache: Cache, key: str, seconds: int) -> None:
    store(cache, key, b"value", seconds=seconds)
    assert soon(lambda: read(cache, key).value is None)
    store(cache, key, b"value again")
    assert read(cache, key).value == b"value again"


def test_no_race_leaves_an_old_value(cache: Cache, key: str) -> None:
    """A writer changes the source and drops; readers read through. At rest it has the last value or none."""
    source = [0]
    start = threading.Barrier(4)

    def write() -> None:
        start.wait()
        for version in range(1, 41):
            source[0] = version
            cache.drop([key])
            assert int(read(cache, key).value or version) == version

    def read_through() -> None:
        start.wait()
        for _ in range(60):
            slot = read(cache, key)
            if slot.value is None and slot.permit:
                cache.fill({key: (slot.permit, str(source[0]).encode())}, seconds=60)

    with ThreadPoolExecutor(4) as threads:
        for job in [threads.submit(write), *(threads.submit(read_through) for _ in range(3))]:
            job.result()
    assert read(cache, key).value in {None, b"40"}


def test_the_fence_holds_between_two_clients(url: str, cache: Cache, key: str) -> None:
    other = open_cache(url, timeout=TIMEOUT, pool=1)
    try:
        mine = permit(cache, key)
        assert permit(other, key) == mine
        other.drop([key])
        cache.fill({key: (mine, b"old")}, seconds=60)
        assert read(other, key).value is None
        store(other, key, b"new")
        assert read(cache, key).value == b"new"
    finally:
        other.close()


def test_migrating_again_does_nothing(cache: Cache, key: str) -> None:
    store(cache, key, b"value")
    assert cache.migrate(dry_run=True) == []
    assert cache.migrate() == []
    assert read(cache, key).value == b"value"
    cache.ping()
