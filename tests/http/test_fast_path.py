"""The fast path answers exactly like the application, byte for byte, and passes on whatever it cannot answer."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from app.http.whole_pages.fast_path import FastPath
from config import Settings
from config.logs import configure
from repositories.errors import Unavailable
from tests.apps import BASE, embedded, running
from tests.http.pages import CODED, ETAG, HEADERS, BothPaths, assert_alike, inside, without_application
from tests.http.test_metrics import value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothPaths]:
    # Long enough that no page becomes due between two answers that are compared.
    settings = Settings(**embedded(tmp_path_factory.mktemp("fast")), shared_seconds=60)
    with running(settings) as system:
        yield BothPaths(system)


def test_the_routes_are_those_of_design_section_6(both: BothPaths) -> None:
    post, product, handle = (both.values[name] for name in ("post_id", "product_id", "handle"))
    assert set(both.paths()) == {
        f"{BASE}/posts",
        f"{BASE}/posts/{post}",
        f"{BASE}/products",
        f"{BASE}/products/{product}",
        f"{BASE}/tags",
        f"{BASE}/accounts/{handle}",
        f"{BASE}/accounts/{handle}/posts",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_are_the_same_on_every_route(both: BothPaths, method: str) -> None:
    both.warm(both.paths())
    for path in both.paths():
        etag = both.slow(path).header("ETag") or ""
        for headers in HEADERS:
            coded = f'{etag[:-1]}-gzip"'
            sent = {name: one.replace(ETAG, etag).replace(CODED, coded) for name, one in headers.items()}
            slow = both.slow(path, method, **sent)
            with without_application(both):
                fast = both.fast(path, method, **sent)
            assert fast.same() == slow.same(), (path, sent)
            assert "; hit" in (fast.header("Cache-Status") or "")


def test_pages_are_the_same_as_those_made_without_a_cache(both: BothPaths) -> None:
    for path in both.paths():
        both.warm([path])
        with without_application(both):
            kept = both.fast(path)
        both.system.container.stores.cache.void()
        made = both.slow(path)
        assert made.header("Cache-Status") == "quartet; fwd=miss; stored"
        assert kept.body == made.body, path
        free = {"Age", "Cache-Status", "X-Request-Id", "Server-Timing"}
        assert [h for h in kept.headers if h[0] not in free] == [h for h in made.headers if h[0] not in free], path


@pytest.mark.parametrize("query", ["limit=20", "limit=2", "limit=100"])
def test_lists_of_any_length_are_the_same(both: BothPaths, query: str) -> None:
    for path in (p for p in both.paths() if p.endswith(("/posts", "/products", "/tags"))):
        for _ in range(3):
            both.slow(path, query=query)
        slow = both.slow(path, query=query)
        with without_application(both):
            assert both.fast(path, query=query).same() == slow.same()


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=1&limit=2", "limit=", "x=1", "cursor=x", "tag=lamps", "limit=%32", "&", "limit=2&"],
)
def test_unsupported_queries_are_answered_by_the_application(both: BothPaths, query: str) -> None:
    both.warm(both.paths())
    for path in both.paths():
        assert_alike(both.fast(path, query=query), both.slow(path, query=query))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"])
def test_other_methods_are_answered_by_the_application(both: BothPaths, method: str) -> None:
    both.warm(both.paths())
    for path in both.paths():
        assert_alike(both.fast(path, method), both.slow(path, method))


@pytest.mark.parametrize(
    "path",
    [
        "posts/",
        "posts//",
        "/api/v1//posts",
        "/api/v1",
        "/",
        "",
        "posts/00000000-0000-7000-8000-000000000000",
        "posts/nothing",
        "posts/00000000-0000-7000-8000-00000000000A",
        "accounts/me",
        "accounts/no_such_body",
        "accounts/xx",
        "accounts/a%20b",
        "accounts/me/posts",
        "products/1",
        "posts\n",
        "tags\n",
        "/health/live",
    ],
)
def test_other_paths_are_answered_by_the_application(both: BothPaths, path: str) -> None:
    assert_alike(both.fast(path), both.slow(path))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_signed_in_reader_gets_the_page_with_the_own_marks(both: BothPaths, method: str) -> None:
    """The fast path makes the same answer from the page kept for everybody as Flask does without a cache."""
    bearer = {"Authorization": f"Bearer {both.reader.token}"}
    for path in both.paths():
        both.system.container.stores.cache.void()
        made = both.slow(path, method, **bearer)
        assert made.header("Cache-Status") == "quartet; fwd=miss; stored"
        both.warm([path])
        with without_application(both):
            kept = both.fast(path, method, **bearer)
            known = both.fast(path, method, **bearer, If_None_Match=made.header("ETag") or "")
        assert_alike(kept, made)
        assert "; hit" in (kept.header("Cache-Status") or "")
        assert (kept.header("Age"), kept.header("Cache-Control")) == (None, "private, no-store")
        assert (known.status, known.body) == ("304 NOT MODIFIED", b"")


def test_the_readers_own_marks_are_read_for_each_answer(both: BothPaths) -> None:
    post, handle = both.values["post_id"], both.author.handle
    paths = [f"{BASE}/posts", f"{BASE}/posts/{post}", f"{BASE}/accounts/{handle}", f"{BASE}/accounts/{handle}/posts"]
    bearers = [{"Authorization": f"Bearer {one.token}"} for one in (both.reader, both.author)]

    def seen() -> list[list[Any]]:
        both.warm(paths)
        with without_application(both):
            pages = [[json.loads(both.fast(path, **bearer).body) for path in paths] for bearer in bearers]
        return [[_viewers(page, post) for page in each] for each in pages]

    nobody = {"following": False, "follows_you": False, "blocking": False}
    assert seen() == [[(False, False)] * 2 + [nobody, (False, False)]] * 2
    both.reader.put(f"/posts/{post}/like")
    both.reader.put(f"/accounts/{handle}/follow")
    mine, others = seen()
    assert mine == [(True, True)] * 2 + [nobody | {"following": True}, (True, True)]
    assert others == [(False, False)] * 2 + [nobody, (False, False)]


def _viewers(page: Any, post: str) -> Any:
    """The viewer's marks of this post, or of the account."""
    if "account" in page:
        return page["viewer"]
    [card] = [one for one in page.get("items", [page]) if one["post"]["id"] == post]
    return card["viewer"]["liked"], card["viewer"]["following_author"]


def test_an_invalid_token_is_refused_on_every_page(both: BothPaths) -> None:
    both.warm(both.paths())
    for path in both.paths():
        for sent in ("Bearer nonsense", "Basic x", ""):
            fast, slow = (ask(path, Authorization=sent) for ask in (both.fast, both.slow))
            assert_alike(fast, slow)
            assert fast.status == "401 UNAUTHORIZED"


def test_an_unavailable_store_is_asked_once(both: BothPaths) -> None:
    path, bearer = f"{BASE}/posts", {"Authorization": f"Bearer {both.reader.token}"}
    both.warm([path])
    stores = both.system.container.stores
    for store, name in ((stores.sessions, "find"), (stores.relational.likes, "beside_follows")):
        with patch.object(type(store), name, side_effect=Unavailable("store", "away")) as asked:
            answer = both.fast(path, **bearer)
        assert (answer.status[:3], answer.header("Retry-After") is not None, asked.call_count) == ("503", True, 1)


def test_a_handle_in_any_case_is_the_same_page(both: BothPaths) -> None:
    path = f"{BASE}/accounts/{both.author.handle}"
    both.warm([path])
    slow = both.slow(path.upper().replace("/API/V1/ACCOUNTS", "/api/v1/accounts"))
    with without_application(both):
        assert both.fast(path).same() == slow.same()


def test_a_write_is_seen_at_once(both: BothPaths) -> None:
    post = both.author.publish("Before")
    path = f"{BASE}/posts/{post}"
    both.warm([path])
    with without_application(both):
        etag = both.fast(path).header("ETag") or ""
    both.author.patch(f"/posts/{post}", {"title": "After"}, etag="*")
    found = both.fast(path, If_None_Match=etag)
    assert found.status == "200 OK"
    assert json.loads(found.body)["post"]["title"] == "After"
    both.author.delete(f"/posts/{post}", etag="*")
    assert both.fast(path).status == "404 NOT FOUND"


def test_an_answer_is_counted_once_on_either_path(both: BothPaths) -> None:
    path = f"{BASE}/tags"
    both.warm([path])
    labels: dict[str, str] = {"route": path, "method": "GET", "status": "200"}
    before = value(both.system, "http_requests_total", **labels)
    both.fast(path)
    both.system.container.stores.cache.void()
    both.fast(path)
    both.slow(path)
    assert value(both.system, "http_requests_total", **labels) == before + 3


def test_a_request_that_is_handed_on_asks_for_the_page_once(both: BothPaths) -> None:
    path = f"{BASE}/tags"
    both.warm([path])
    both.system.container.stores.cache.void()
    slow = both.slow(path).header("Server-Timing") or ""
    both.system.container.stores.cache.void()
    fast = both.fast(path).header("Server-Timing") or ""
    trips = [[part.split(";")[2] for part in timing.split(", ")[:-1]] for timing in (slow, fast)]
    assert trips[0] == trips[1]


def test_a_post_that_is_served_is_a_view_of_it(both: BothPaths) -> None:
    post = both.author.publish()
    path = f"{BASE}/posts/{post}"
    both.warm([path])
    with patch.object(both.system.container.content.views, "seen") as seen, without_application(both):
        both.fast(path)
        both.fast(path, If_None_Match="*")
        both.fast(path, "HEAD")
        both.fast(f"{BASE}/tags")
    assert [str(call.args[0]) for call in seen.call_args_list] == [post, post]


@pytest.mark.parametrize("form", ["json", "console"])
def test_both_paths_log_the_same(both: BothPaths, form: str) -> None:
    path = f"{BASE}/posts/{both.values['post_id']}"
    both.warm([path])
    lines = [logged(form, lambda ask=ask: ask(path, X_Request_Id="abcdefgh")) for ask in (both.slow, both.fast)]
    if form == "json":
        told = [json.loads(line) for line in lines]
        assert list(told[0]) == list(told[1])
        assert all(one.pop("timestamp").endswith("Z") and one.pop("ms") >= 0 for one in told)
        assert told[0] == told[1]
        assert told[0]["request_id"] == "abcdefgh"
    assert all("request" in line and "abcdefgh" in line for line in lines)


def test_the_direct_log_line_equals_that_of_structlog(both: BothPaths) -> None:
    path = f"{BASE}/tags"
    quick = logged("json", lambda: both.slow(path, X_Request_Id="abcdefgh"))
    plain = logged("json", lambda: both.slow(path, X_Request_Id="abcdefgh"), takes_json=False)
    told = [json.loads(line) for line in (quick, plain)]
    assert list(told[0]) == list(told[1])
    for one in told:
        one.pop("ms")
        assert len(one.pop("timestamp")) == len("2026-01-01T00:00:00.000000Z")
    assert told[0] == told[1]


def test_a_silent_log_stays_silent(both: BothPaths) -> None:
    assert logged("json", lambda: both.fast(f"{BASE}/tags"), level="warning") == ""


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path), fast_path=False)) as system:
        assert not isinstance(inside(system.app), FastPath)


def logged(form: str, act: Any, level: str = "info", *, takes_json: bool = True) -> str:
    stream, root = io.StringIO(), logging.getLogger()
    before, was = root.handlers[:], root.level
    try:
        configure(level, form, stream)
        root.handlers[0].takes_json = takes_json and form == "json"  # type: ignore[attr-defined]  # of `Lines`
        act()
        root.handlers[0].flush()
    finally:
        root.handlers[:] = before
        root.setLevel(was)
    return stream.getvalue()
