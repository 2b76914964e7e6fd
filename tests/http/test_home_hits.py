"""A kept page of a home feed is answered before Flask, byte for byte like the view."""

import json
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import pytest

from config import Settings
from repositories.errors import Unavailable
from tests.apps import System, embedded, running
from tests.engines.kernel import wait_until
from tests.http.pages import CODED, ETAG, HEADERS, Answer, BothPaths, PassedToFlask, assert_alike, without_application
from tests.http.test_metrics import value
from tests.http.world import ShiftedClock

FEED = "/api/v1/feed"


class Feed(BothPaths):
    """`reader` follows `author`, who has posted."""

    def __init__(self, system: System, clock: ShiftedClock) -> None:
        super().__init__(system)
        self.clock = clock
        self.reader.put(f"/accounts/{self.author.handle}/follow")
        self.bearer = {"Authorization": f"Bearer {self.reader.token}"}

    def kept(self, query: str = "", method: str = "GET", **headers: str) -> Answer:
        """The answer of the fast path alone."""
        with without_application(self):
            return self.fast(FEED, method, query, **self.bearer, **headers)

    def viewed(self, query: str = "", method: str = "GET", **headers: str) -> Answer:
        return self.slow(FEED, method, query, **self.bearer, **headers)

    def warmed(self, query: str = "") -> Answer:
        """The kept page, after nothing is in flight and the newest post is older than any late post could be."""
        self.system.relay.drain()
        self.clock.ahead += timedelta(minutes=1)
        # The posts in flight are remembered for a moment.
        assert wait_until(lambda: self._is_kept(query), 5)
        return self.viewed(query)

    def _is_kept(self, query: str) -> bool:
        self.viewed(query)
        try:
            return self.kept(query).status == "200 OK"
        except PassedToFlask:
            return False

    def titles(self) -> list[str]:
        page = json.loads(self.fast(FEED, **self.bearer).body)
        return [item["post"]["title"] for item in page["items"]]


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path_factory.mktemp("home"))), clock) as system:
        yield Feed(system, clock)


def queries(feed: Feed) -> list[str]:
    """Queries for the top, for what is above it, and for what is further down."""
    prev = json.loads(feed.warmed().body)["prev"]
    further = json.loads(feed.warmed("limit=2").body)["next"]
    return ["", "limit=2", "limit=100", f"after={prev}", f"limit=5&after={prev}", f"limit=2&cursor={further}"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_are_the_same(feed: Feed, method: str) -> None:
    for query in queries(feed):
        etag = feed.warmed(query).header("ETag") or ""
        for headers in HEADERS:
            sent = {n: one.replace(ETAG, etag).replace(CODED, f'{etag[:-1]}-gzip"') for n, one in headers.items()}
            slow, fast = feed.viewed(query, method, **sent), feed.kept(query, method, **sent)
            assert fast.same() == slow.same(), (query, sent)


def test_a_poll_that_finds_nothing_is_kept(feed: Feed) -> None:
    prev = json.loads(feed.warmed().body)["prev"]
    page = json.loads(feed.warmed(f"after={prev}").body)
    assert (page["items"], page["next"], page["prev"]) == ([], None, prev)
    assert json.loads(feed.kept(f"after={prev}").body) == page
    post = feed.author.publish("Later")
    found = json.loads(feed.fast(FEED, "GET", f"after={prev}", **feed.bearer).body)
    assert [item["post"]["id"] for item in found["items"]] == [post]


@pytest.mark.parametrize(
    "query",
    [
        *[
            "limit=0",
            "limit=101",
            "limit=1&limit=2",
            "limit=",
            "x=1",
            "cursor=x",
            "after=x",
            "after=",
            "limit=%32",
            "&",
        ],
        *["after=x&after=x", "cursor=x&after=x", "cursor=x&cursor=x"],
    ],
)
def test_unsupported_queries_are_answered_by_the_application(feed: Feed, query: str) -> None:
    feed.warmed()
    assert_alike(feed.fast(FEED, "GET", query, **feed.bearer), feed.viewed(query))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"])
def test_other_methods_are_answered_by_the_application(feed: Feed, method: str) -> None:
    feed.warmed()
    assert_alike(feed.fast(FEED, method, **feed.bearer), feed.viewed(method=method))


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer nonsense", "Basic x", "bearer  {token} "])
def test_tokens_in_every_form(feed: Feed, sent: str) -> None:
    feed.warmed()
    authorization = sent.format(token=feed.reader.token)
    fast, slow = (ask(FEED, Authorization=authorization) for ask in (feed.fast, feed.slow))
    assert_alike(fast, slow)
    assert fast.status[:3] == ("200" if "{token}" in sent else "401")


def test_changes_are_seen_at_once(feed: Feed) -> None:
    feed.warmed()
    post = feed.author.publish("New")
    assert feed.titles()[0] == "New"
    feed.warmed()
    feed.author.patch(f"/posts/{post}", {"title": "Changed"}, etag="*")
    assert feed.titles()[0] == "Changed"
    feed.warmed()
    feed.reader.put(f"/posts/{post}/like")
    assert json.loads(feed.fast(FEED, **feed.bearer).body)["items"][0]["viewer"]["liked"] is True
    feed.warmed()
    feed.author.delete(f"/posts/{post}", etag="*")
    assert feed.titles()[0] != "Changed"
    feed.warmed()
    feed.reader.delete(f"/accounts/{feed.author.handle}/follow")
    assert feed.titles() == []
    feed.reader.put(f"/accounts/{feed.author.handle}/follow")
    assert feed.titles() != []


def test_a_session_that_ended_is_refused_at_once(feed: Feed) -> None:
    again = feed.system.person()
    bearer = {"Authorization": f"Bearer {again.token}"}
    for _ in range(3):
        assert feed.fast(FEED, **bearer).status == "200 OK"
    again.delete("/sessions/current")
    assert feed.fast(FEED, **bearer).status == "401 UNAUTHORIZED"


def test_a_page_handed_on_to_flask_costs_no_more_round_trips(feed: Feed) -> None:
    def trips(answer: Answer) -> list[str]:
        return [part.split(";")[2] for part in (answer.header("Server-Timing") or "").split(", ")[:-1]]

    feed.warmed()
    feed.system.container.stores.cache.void()
    slow = trips(feed.viewed())
    feed.system.container.stores.cache.void()
    assert trips(feed.fast(FEED, **feed.bearer)) == slow


def test_an_unavailable_store_is_asked_once(feed: Feed) -> None:
    feed.warmed()
    stores = feed.system.container.stores
    for store, name in ((stores.sessions, "find"), (stores.relational.feed_activity, "reader_state")):
        with patch.object(type(store), name, side_effect=Unavailable("store", "away")) as asked:
            answer = feed.fast(FEED, **feed.bearer)
        assert (answer.status[:3], answer.header("Retry-After") is not None, asked.call_count) == ("503", True, 1)


def test_a_page_that_is_not_kept_is_made_before_flask(feed: Feed) -> None:
    prev = json.loads(feed.warmed().body)["prev"]
    post = feed.author.publish("Newest")
    # An upward cursor depends on the age of the posts.
    feed.clock.ahead += timedelta(minutes=1)
    for query in ("", f"after={prev}", "limit=1"):
        feed.system.container.stores.cache.void()
        made = feed.kept(query)
        feed.system.container.stores.cache.void()
        assert made.same() == feed.viewed(query).same()
        assert json.loads(made.body)["items"][0]["post"]["id"] == post


def test_a_store_unavailable_during_a_build_is_asked_once(feed: Feed) -> None:
    feed.warmed()
    feed.system.container.stores.cache.void()
    accounts = feed.system.container.stores.relational.accounts
    with patch.object(type(accounts), "get", side_effect=Unavailable("store", "away")) as asked:
        answer = feed.fast(FEED, "GET", **feed.bearer)
    assert (answer.status[:3], answer.header("Retry-After") is not None, asked.call_count) == ("503", True, 1)


def test_an_answer_is_counted_once_on_either_path(feed: Feed) -> None:
    feed.warmed()
    labels: dict[str, str] = {"route": FEED, "method": "GET", "status": "200"}
    before = value(feed.system, "http_requests_total", **labels)
    feed.kept()
    feed.system.container.stores.cache.void()
    feed.fast(FEED, **feed.bearer)
    feed.viewed()
    assert value(feed.system, "http_requests_total", **labels) == before + 3
