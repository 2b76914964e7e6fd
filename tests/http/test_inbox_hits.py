"""A kept page of notifications is answered before Flask, byte for byte like the view, and never when it is outdated."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config import Settings
from repositories.errors import Unavailable
from tests.apps import System, embedded, running
from tests.http.inbox import NoonClock
from tests.http.pages import CODED, ETAG, HEADERS, Answer, BothPaths, PassedToFlask, assert_alike, without_application
from tests.http.test_account_deletion import leave

NOTIFICATIONS = "/api/v1/notifications"


class Inbox(BothPaths):
    """`reader` and six others follow `author`, and have liked two posts of `author`."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.bearer = {"Authorization": f"Bearer {self.author.token}"}
        self.fans = [self.reader, *(system.person() for _ in range(6))]
        self.post, self.other = self.author.publish("Liked"), self.author.publish("Liked too")
        for fan in self.fans:
            fan.put(f"/accounts/{self.author.handle}/follow")
            fan.put(f"/posts/{self.post}/like")
            fan.put(f"/posts/{self.other}/like")
        system.relay.drain()

    def kept(self, query: str = "", method: str = "GET", **headers: str) -> Answer:
        """The answer of the fast path alone."""
        with without_application(self):
            return self.fast(NOTIFICATIONS, method, query, **self.bearer, **headers)

    def viewed(self, query: str = "", method: str = "GET", **headers: str) -> Answer:
        return self.slow(NOTIFICATIONS, method, query, **self.bearer, **headers)

    def warmed(self, query: str = "") -> Any:
        """The kept page."""
        for _ in range(2):
            self.viewed(query)
        assert self.kept(query).status == "200 OK"
        return json.loads(self.kept(query).body)

    def page(self) -> Any:
        return json.loads(self.fast(NOTIFICATIONS, **self.bearer).body)

    def counts(self) -> dict[tuple[str, str | None], int]:
        return {(item["kind"], item["post_id"]): item["count"] for item in self.page()["items"]}


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with running(Settings(**embedded(tmp_path_factory.mktemp("inbox"))), NoonClock()) as system:
        yield Inbox(system)


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    with running(settings, NoonClock()) as system:
        yield Inbox(system)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_are_the_same(unchanged: Inbox, method: str) -> None:
    for query in ("", "limit=2", "limit=100"):
        unchanged.warmed(query)
        etag = unchanged.viewed(query).header("ETag") or ""
        for headers in HEADERS:
            sent = {n: one.replace(ETAG, etag).replace(CODED, f'{etag[:-1]}-gzip"') for n, one in headers.items()}
            slow, fast = unchanged.viewed(query, method, **sent), unchanged.kept(query, method, **sent)
            assert fast.same() == slow.same(), (query, sent)


@pytest.mark.parametrize("query", ["limit=0", "limit=1&limit=2", "limit=", "x=1", "cursor=x", "&"])
def test_other_queries_are_answered_by_the_application(unchanged: Inbox, query: str) -> None:
    unchanged.warmed()
    with pytest.raises(PassedToFlask):
        unchanged.kept(query)
    assert_alike(unchanged.fast(NOTIFICATIONS, "GET", query, **unchanged.bearer), unchanged.viewed(query))


def test_no_reader_gets_the_page_of_another(unchanged: Inbox) -> None:
    mine = unchanged.warmed()
    theirs = unchanged.fast(NOTIFICATIONS, Authorization=f"Bearer {unchanged.reader.token}")
    assert json.loads(theirs.body)["items"] != mine["items"]
    assert unchanged.fast(NOTIFICATIONS).status[:3] == "401"


def test_a_session_that_ended_is_refused_at_once(unchanged: Inbox) -> None:
    again = unchanged.system.person()
    bearer = {"Authorization": f"Bearer {again.token}"}
    for _ in range(3):
        assert unchanged.fast(NOTIFICATIONS, **bearer).status == "200 OK"
    again.delete("/sessions/current")
    assert unchanged.fast(NOTIFICATIONS, **bearer).status == "401 UNAUTHORIZED"


def test_changes_of_people_not_shown_change_the_count_at_once(inbox: Inbox) -> None:
    """The item shows three other people, but the count of each changes at once."""
    like = ("like", inbox.post)
    author, (first, second, third, *_) = inbox.author, inbox.fans
    inbox.warmed()
    assert inbox.counts()[like] == 7
    first.delete(f"/accounts/{author.handle}/follow")
    assert inbox.counts()[("follow", None)] == 6
    inbox.warmed()
    author.put(f"/accounts/{first.handle}/block")
    assert inbox.counts()[like] == 6
    inbox.warmed()
    author.delete(f"/accounts/{first.handle}/block")
    assert inbox.counts()[like] == 7
    inbox.warmed()
    second.put(f"/accounts/{author.handle}/block")
    assert inbox.counts()[like] == 6
    inbox.warmed()
    leave(third)
    assert inbox.counts()[like] == 5
    # Stored activities of an account that was deleted do not prevent the page from being kept.
    inbox.warmed()


def test_changes_are_seen_at_once(inbox: Inbox) -> None:
    inbox.warmed()
    inbox.fans[-1].patch("/accounts/me", {"display_name": "Renamed"}, etag="*")
    assert inbox.page()["items"][0]["actors"][0]["display_name"] == "Renamed"
    assert inbox.warmed()["unread_count"] == 3
    inbox.author.post("/notifications/read", status=200)
    assert inbox.page()["unread_count"] == 0
    inbox.warmed()
    inbox.reader.post(f"/posts/{inbox.post}/comments", {"body": "New"})
    inbox.system.relay.drain()
    assert inbox.page()["unread_count"] == 1
    inbox.warmed()
    inbox.author.delete(f"/posts/{inbox.other}", etag="*")
    assert ("like", inbox.other) not in inbox.counts()


@pytest.mark.parametrize(
    ("role", "port", "methods"),
    [("relational", "graph", ("counts", "relations")), ("feeds", "notifications", ("page", "marker"))],
)
def test_a_store_that_does_not_answer_is_asked_once(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, role: str, port: str, methods: tuple[str, ...]
) -> None:
    """Each further call would wait for the timeout again."""
    part, asked = getattr(getattr(inbox.system.container.stores, role), port), list[str]()

    def silent(method: str) -> None:
        def call(*_: object, **__: object) -> None:
            asked.append(method)
            raise Unavailable(role, "frozen")

        monkeypatch.setattr(part, method, call)

    for method in methods:
        silent(method)
    assert inbox.viewed("limit=3").status.startswith("503")
    assert len(asked) == 1
