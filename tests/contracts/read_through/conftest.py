"""Caches and cached posts for the contract suite of reading through the cache."""

from collections.abc import Iterator

import pytest

from repositories.hot import Cache, open_cache
from tests.contracts.read_through.cached_posts import TIMEOUT, CachedPosts
from tests.contracts.read_through.post_source import Source


@pytest.fixture(scope="module", params=["embedded", pytest.param("redis", marks=pytest.mark.engines)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("engines").cache().url)
    return f"sqlite:///{tmp_path_factory.mktemp('cache') / 'hot.db'}"


@pytest.fixture
def cache(url: str) -> Iterator[Cache]:
    store = open_cache(url, timeout=TIMEOUT, pool=4)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def posts(source: Source, cache: Cache) -> CachedPosts:
    return CachedPosts(source, cache)
