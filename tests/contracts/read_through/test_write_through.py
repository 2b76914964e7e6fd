"""The contract of writing new values to the cache."""

from typing import Any, cast
from uuid import uuid4

import pytest

from app.services.pages.read_through import ReadThrough
from app.services.pages.write_through import WriteThrough
from repositories.errors import Unavailable
from repositories.hot import Cache, Value
from tests.contracts.read_through.post_source import FailingCache
from tests.contracts.read_through.recorded_kinds import RecordedKinds, invalidation


def write_through(cache: Cache) -> WriteThrough:
    unused: Any = None
    return WriteThrough(cache, unused, invalidation(cache))


def test_write_through_keeps_the_new_value(cache: Cache) -> None:
    parts, key = RecordedKinds(), uuid4().hex
    through, writer = ReadThrough(cache), write_through(cache)
    for n in range(3):
        new = Value(b"written", version=n)
        assert writer.store(parts.post, key, lambda new=new: new) == new  # type: ignore[misc]
        assert through.get(parts.post, [key]) == {key: new}
    assert parts.asked == []


def test_write_through_beside_another_change_or_in_doubt_keeps_nothing(cache: Cache) -> None:
    parts, key = RecordedKinds(), uuid4().hex
    through, writer = ReadThrough(cache), write_through(cache)

    def beaten() -> Value:
        cache.drop([parts.post.key(key)])
        return Value(b"mine")

    def doubtful() -> Value:
        raise Unavailable("documents")

    writer.store(parts.post, key, beaten)
    assert through.get(parts.post, [key])[key].body == f"post {key}".encode()
    with pytest.raises(Unavailable):
        writer.store(parts.post, key, doubtful)
    through.get(parts.post, [key])
    assert len(parts.asked) == 2


def test_write_through_drops_other_stale_keys_in_one_round_trip(cache: Cache) -> None:
    parts, key = RecordedKinds(), uuid4().hex
    counted = FailingCache(cache)
    through, writer = ReadThrough(cache), write_through(cast("Cache", counted))
    through.get(parts.stats, [key])
    writer.store(parts.post, key, lambda: Value(b"new"), [parts.stats.key(key)])
    assert counted.calls == ["read", "lease", "fill", "outwait", "drop"]
    assert cache.read([parts.stats.key(key)]) == [None]
    assert through.get(parts.post, [key])[key].body == b"new"
    counted.calls.clear()
    counted.down = {"fill"}
    writer.store(parts.post, key, lambda: Value(b"newer"), [parts.stats.key(key)])
    assert counted.calls == ["read", "lease", "fill", "drop"]
    assert cache.read([parts.post.key(key)]) == [None]


@pytest.mark.parametrize("down", ["read", "lease", "fill"])
def test_write_through_without_a_cache_drops(cache: Cache, down: str) -> None:
    parts, key = RecordedKinds(), uuid4().hex
    wrapped = FailingCache(cache)
    through, writer = ReadThrough(cast("Cache", wrapped)), write_through(cast("Cache", wrapped))
    through.get(parts.post, [key])
    wrapped.down.add(down)
    writer.store(parts.post, key, lambda: Value(b"new"))
    wrapped.down.clear()
    through.get(parts.post, [key])
    assert len(parts.asked) == 2
