"""The contract of reading values of several kinds together."""

from typing import cast
from uuid import uuid4

from app.services.pages.kinds import Used
from app.services.pages.read_through import ReadThrough
from repositories.hot import Cache
from tests.contracts.read_through.post_source import FailingCache
from tests.contracts.read_through.recorded_kinds import RecordedKinds, invalidation


def test_a_multi_get_over_several_kinds_is_one_multi_get_and_one_load_each(cache: Cache) -> None:
    parts, unique = RecordedKinds(), uuid4().hex
    counted = FailingCache(cache)
    through = ReadThrough(cast("Cache", counted))
    ids = [f"{unique}:{n}" for n in range(20)]
    wanted = {parts.post: [*ids, f"{unique}:gone"], parts.author: ids[:3], parts.stats: ids}
    found = through.multi_get(wanted)
    assert counted.calls == ["read", "lease", "fill", "drop"]
    assert [name for name, _ in parts.asked] == ["post", "author", "stats"]
    assert {kind.name: len(values) for kind, values in found.items()} == {"post": 20, "author": 3, "stats": 20}
    value = found[parts.author][ids[1]]
    assert (value.body, value.version, value.etag) == (f"author {ids[1]}".encode(), len(ids[1]), f'"{ids[1]}"')
    del wanted[parts.post][-1]
    assert through.multi_get(wanted) == found
    assert counted.calls[4:] == ["read"]
    cache.drop([*map(parts.post.key, ids[:2]), parts.stats.key(ids[0])])
    assert through.multi_get(wanted).keys() == found.keys()
    assert parts.asked[3:] == [("post", set(ids[:2])), ("stats", set(ids[:1]))]
    assert counted.calls[5:] == ["read", "lease", "fill"]


def test_a_multi_get_reports_the_stamps_of_its_values(cache: Cache) -> None:
    parts, unique = RecordedKinds(), uuid4().hex
    through = ReadThrough(cache)
    wanted = {parts.post: [unique, f"{unique}-2"], parts.stats: [unique]}
    loaded, read = Used(), Used()
    through.multi_get(wanted, loaded)
    through.multi_get(wanted, read)
    keys = [kind.key(about) for kind, ids in wanted.items() for about in ids]
    assert (
        loaded.stamps
        == read.stamps
        == {key: held.stamp for key, held in zip(keys, cache.read(keys), strict=True) if held}
    )
    assert 50 < read.left <= 66
    assert loaded.left == 60
    cache.drop([parts.stats.key(unique)])
    through.multi_get(wanted, read)
    assert read.stamps is None


def test_values_that_are_not_stored_have_no_stamps(cache: Cache) -> None:
    parts, unique = RecordedKinds(), uuid4().hex
    refused, away, absent = Used(), Used(), Used()
    wrapped = FailingCache(cache, {"fill"})
    ReadThrough(cast("Cache", wrapped)).multi_get({parts.post: [unique]}, refused)
    wrapped.down = {"read"}
    ReadThrough(cast("Cache", wrapped)).multi_get({parts.post: [f"{unique}-2"]}, away)
    ReadThrough(cache).multi_get({parts.post: [f"{unique}-gone"]}, absent)
    assert [used.stamps for used in (refused, away, absent)] == [None, None, None]
    assert Used().stamps == {}


def test_an_empty_multi_get_or_drop_does_nothing(cache: Cache) -> None:
    parts = RecordedKinds()
    assert ReadThrough(cache).multi_get({}) == {}
    assert ReadThrough(cache).multi_get({parts.post: []}) == {parts.post: {}}
    counted = FailingCache(cache)
    invalidation(cast("Cache", counted)).drop([])
    assert counted.calls == []
