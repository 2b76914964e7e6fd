"""Whole pages: which ones are kept, and when they are dropped or replaced."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

import pytest

from app.services.pages.kinds import Kind, Used
from app.services.pages.read_through import ReadThrough
from app.services.pages.whole_pages import WholePage, WholePages, tag_of, target
from repositories.errors import Unavailable
from repositories.hot import Cache, Value
from repositories.hot.embedded.cache import EmbeddedCache
from tests.contracts.read_through.post_source import FailingCache

POST = "/api/v1/posts/0197f0a0-0000-7000-8000-00000000000a"


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        (POST, "", POST),
        (POST.replace("posts", "products"), "", POST.replace("posts", "products")),
        ("/api/v1/accounts/Ada_1", "", "/api/v1/accounts/ada_1"),
        ("/api/v1/posts", "", "/api/v1/posts?limit=20"),
        ("/api/v1/posts", "limit=20", "/api/v1/posts?limit=20"),
        ("/api/v1/tags", "limit=100", "/api/v1/tags?limit=100"),
        ("/api/v1/products", "limit=7", "/api/v1/products?limit=7"),
        ("/api/v1/accounts/ADA/posts", "", "/api/v1/accounts/ada/posts?limit=20"),
        *((POST, query, None) for query in ("a=1", "limit=20")),
        *(
            ("/api/v1/posts", query, None)
            for query in (
                *("limit=0", "limit=101", "limit=020", "limit=1000", "limit=2&limit=3", "limit=", "limit=%32"),
                *("cursor=x", "limit=2&cursor=x", "tag=a", "author=ada", "x", "&", "limit=1\n", "LIMIT=1"),
            )
        ),
        *(
            (path, "", None)
            for path in (
                *("", "/", "/api/v1", "/api/v1/posts/", "/api/v1/accounts/me", "/api/v1/accounts/ada/followers"),
                *(POST.upper(), f"{POST}\n", f"{POST}/comments", "/api/v1/accounts/\u0130da", "/api/v1/feed"),
                *(f"/api/v1/accounts/{'a' * 31}", "/api/v1/orders", "/api/v2/posts", "/api/v1/accounts/a%62c"),
            )
        ),
    ],
)
def test_requests_for_a_page_have_its_name(path: str, query: str, name: str | None) -> None:
    assert target(path, query) == name


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def cache(tmp_path: Path, now: list[float]) -> Iterator[Cache]:
    store = EmbeddedCache(f"sqlite:///{tmp_path}/hot.db", clock=lambda: now[0])
    store.migrate()
    yield store
    store.close()


class Source:
    """One versioned thing, and the number of times that a page was built from it."""

    def __init__(self, cache: Cache, fresh: float = 1000.0) -> None:
        self.version = 1
        self.made = 0
        self.cache = cache
        self.through = ReadThrough(cache)
        self.kind: Kind[str] = Kind("thing", "1", self._load, fresh)

    def build(self, used: Used) -> WholePage:
        self.made += 1
        value = self.through.get(self.kind, ["a"], used)["a"]
        return WholePage(value.body or b"", tag_of(value.body or b"", value.version), value.version)

    def change(self) -> None:
        self.version += 1
        self.cache.drop([self.kind.key("a")])

    def _load(self, ids: Collection[str]) -> dict[str, Value]:
        return {i: Value(f"version {self.version}".encode(), self.version) for i in ids}


@pytest.fixture
def source(cache: Cache) -> Source:
    return Source(cache)


@pytest.fixture
def pages(cache: Cache) -> WholePages:
    return WholePages(cache, fresh=60.0)


def test_a_page_is_kept_with_its_tag_and_its_age(pages: WholePages, source: Source, now: list[float]) -> None:
    assert pages.look("/a") is None
    made = pages.keep("/a", source.build)
    assert (made.body, made.version, made.status, made.age_seconds) == (b"version 1", 1, "miss", 0.0)
    assert made.fresh_seconds == 60.0
    now[0] += 10
    kept = pages.look("/a")
    assert kept
    assert (kept.body, kept.etag, kept.version, kept.status) == (made.body, made.etag, 1, "hit")
    assert kept.age_seconds == pytest.approx(10)
    assert 54 <= kept.fresh_seconds <= 66
    assert pages.look("/b") is None
    assert source.made == 1


def test_a_page_ends_with_its_lifetime_or_a_part(pages: WholePages, source: Source, now: list[float]) -> None:
    pages.keep("/a", source.build)
    source.change()
    assert pages.look("/a") is None
    assert pages.keep("/a", source.build).version == 2
    now[0] += 67
    assert pages.look("/a") is None


def test_a_page_is_due_no_later_than_its_parts(cache: Cache, pages: WholePages, now: list[float]) -> None:
    source = Source(cache, fresh=20.0)
    pages.keep("/a", source.build)
    kept = pages.look("/a")
    assert kept
    assert kept.fresh_seconds <= 22
    now[0] += 10
    assert pages.keep("/b", source.build).fresh_seconds <= 12


def test_a_page_whose_part_changes_while_it_is_made_is_answered_and_not_kept(pages: WholePages, source: Source) -> None:
    def build(used: Used) -> WholePage:
        page = source.build(used)
        source.change()
        return page

    assert pages.keep("/a", build).version == 1
    assert pages.look("/a") is None
    assert pages.keep("/a", source.build).version == 2
    assert pages.look("/a")


def test_a_page_with_a_part_without_a_stamp_is_not_kept(pages: WholePages, source: Source) -> None:
    def build(used: Used) -> WholePage:
        used.note("elsewhere", None, 100.0)
        return source.build(used)

    assert pages.keep("/a", build).fresh_seconds == 0
    assert pages.look("/a") is None


def test_a_page_built_while_another_builds_it_is_not_kept(pages: WholePages, source: Source) -> None:
    inner: list[WholePage] = []

    def build(used: Used) -> WholePage:
        inner.append(pages.keep("/a", source.build))
        assert pages.look("/a") is None
        return source.build(used)

    assert pages.keep("/a", build).body == inner[0].body
    assert pages.look("/a")


def test_a_failed_build_releases_its_lease(pages: WholePages, source: Source) -> None:
    def build(_: Used) -> WholePage:
        raise Unavailable("documents")

    with pytest.raises(Unavailable):
        pages.keep("/a", build)
    pages.keep("/a", source.build)
    assert pages.look("/a")


@pytest.mark.parametrize("down", [{"whole", "lease"}, {"fill"}, {"lease"}, {"release"}])
def test_without_a_cache_pages_are_made(cache: Cache, source: Source, down: set[str]) -> None:
    pages = WholePages(cast("Cache", FailingCache(cache, down)))
    assert pages.look("/a") is None
    assert pages.keep("/a", source.build).body == b"version 1"


def test_the_tag_is_a_digest_of_the_bytes_and_has_the_version() -> None:
    assert tag_of(b"body", 7).startswith('"7-')
    assert tag_of(b"body", 7)[3:] == tag_of(b"body")[1:]
    assert tag_of(b"body") != tag_of(b"other")
