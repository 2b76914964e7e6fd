"""The contract of caches as the old and the new place of a move."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from redis import Redis

from app.moving.mover import Move
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Value, guarded, open_cache_stores
from repositories.hot import moved_cache as moved_places
from tests.contracts.relational_store import new_database

TIMEOUT = timedelta(seconds=5)
ENGINES = "redis", "postgres"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Cache]]:
    monkeypatch.setattr(moved_places, "FOLLOWED_SECONDS", 0.0)
    with ExitStack() as closing:

        def open_(url: str) -> Cache:
            stores = open_cache_stores(url, timeout=TIMEOUT, pool=4, viewers=1)
            for store in stores:
                closing.callback(store.close)
                store.migrate()
            return guarded(stores.cache)

        yield open_


@pytest.fixture(params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ENGINES)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres":
        yield new_database(request.getfixturevalue("engines").postgres())
    elif request.param == "redis":
        own = str(request.getfixturevalue("engines").cache().url)
        yield own
        with Redis.from_url(own) as redis:
            redis.flushdb()
    else:
        yield f"sqlite:///{tmp_path_factory.mktemp('cache') / 'hot.db'}"


def leased(cache: Cache, key: str) -> bytes:
    [lease] = cache.lease({key: b""})
    assert isinstance(lease, bytes)
    return lease


def kept(cache: Cache, key: str) -> bytes | None:
    [held] = cache.read([key])
    return held.value.body if held else None


def store(cache: Cache, key: str, body: bytes) -> None:
    assert cache.fill({key: Fill(leased(cache, key), Value(body), 60)}) == {key}


def move(old: Cache, new: Cache) -> None:
    assert old.place
    assert new.place
    Move(
        old.place, new.place, say=lambda _line: None, counted=lambda _kind, batches: batches, ended=lambda _end: None
    ).run("old", "new")


def test_a_cache_that_was_left_neither_serves_nor_stores(
    opened: Callable[[str], Cache], url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, other = opened(url), opened(f"sqlite:///{tmp_path_factory.mktemp('cache') / 'other.db'}")
    for old, new in ((one, other), (other, one)):
        old.drop(["there"])
        store(old, "there", b"before")
        early = leased(old, "late")
        move(old, new)
        assert kept(old, "there") is None
        with pytest.raises(Unavailable):
            leased(old, "there")
        stored: set[str] = set()
        try:
            stored = old.fill({"late": Fill(early, Value(b"before"), 60)})
        except Unavailable:
            assert kept(new, "late") is None
        assert stored == set()
        assert kept(new, "there") is None
        store(new, "there", b"after")
        assert kept(new, "there") == b"after"
        assert new.place
        new.place.tidy()
        assert kept(new, "there") is None
        store(new, "there", b"after")
        assert old.place
        mark = old.place.mark()
        assert mark
        assert (mark.state, mark.url) == ("moved", "new")
