"""What only the embedded cache can be asked: its bound, and times to live by a clock that is set by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from repositories.hot import Cache, Slot
from repositories.hot.embedded import EmbeddedCache


class Twin:
    """The embedded cache with few entries and a clock that is set by hand."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000.0
        self.cache = EmbeddedCache(f"sqlite:///{path / 'twin.db'}", entries=10, clock=lambda: self.now)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    made = Twin(tmp_path)
    planned = made.cache.migrate(dry_run=True)
    assert made.cache.migrate() == planned
    yield made
    made.cache.close()


def read(cache: Cache, key: str) -> Slot:
    [slot] = cache.read([key])
    return slot


def permit(cache: Cache, key: str) -> str:
    return read(cache, key).permit or ""


def store(cache: Cache, key: str, value: bytes, *, seconds: int) -> None:
    cache.fill({key: (permit(cache, key), value)}, seconds=seconds)


def test_the_twin_is_bounded_and_keeps_what_lives_longest(twin: Twin) -> None:
    store(twin.cache, "short", b"value", seconds=30)
    for n in range(40):
        store(twin.cache, f"long:{n}", b"value", seconds=1_000)
    assert read(twin.cache, "short").value is None
    kept = [slot for slot in twin.cache.read([f"long:{n}" for n in range(40)]) if slot.value]
    assert len(kept) == 10
    permits = [slot.permit or "" for slot in twin.cache.read([f"many:{n}" for n in range(50)])]
    twin.cache.fill({f"many:{n}": (p, b"v") for n, p in enumerate(permits)}, seconds=2_000)
    assert sum(slot.value is not None for slot in twin.cache.read([f"many:{n}" for n in range(50)])) == 10


def test_the_twins_permit_that_was_evicted_or_has_expired_fills_nothing(twin: Twin) -> None:
    evicted = permit(twin.cache, "key")
    twin.now += 1
    twin.cache.read([f"other:{n}" for n in range(10)])
    twin.cache.fill({"key": (evicted, b"value")}, seconds=60)
    assert read(twin.cache, "key").value is None
    late = permit(twin.cache, "late")
    twin.now += 30
    twin.cache.fill({"late": (late, b"value")}, seconds=60)
    assert permit(twin.cache, "late") != late


def test_the_twins_values_expire_within_a_tenth_of_their_time(twin: Twin) -> None:
    keys = [f"key:{n}" for n in range(10)]
    for key in keys:
        store(twin.cache, key, b"value", seconds=100)
    twin.now += 89.9
    assert all(slot.value for slot in twin.cache.read(keys))
    twin.now += 20.2
    assert not any(slot.value for slot in twin.cache.read(keys))
