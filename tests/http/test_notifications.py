"""Notifications over HTTP: actors, kinds, counts, unread items, and withdrawal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.worker.handlers import handle
from config import Settings
from repositories.records.events import Event
from tests.apps import Person, System, running
from tests.http.inbox import NoonClock, handles, inbox
from tests.shop import Clock

FIRST = "00000000-0000-7000-8000-000000000000"
LAST = "ffffffff-ffff-7fff-bfff-ffffffffffff"


@pytest.fixture
def clock() -> Clock:
    return NoonClock()


@pytest.fixture
def system(settings: Settings, clock: Clock) -> Iterator[System]:
    with running(settings, clock) as found:
        yield found


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada")


def crowd(system: System, count: int) -> list[Person]:
    return [system.person() for _ in range(count)]


def only(page: Any) -> Any:
    (item,) = page["items"]
    return item


def test_a_new_inbox_is_empty(ada: Person) -> None:
    assert ada.get("/notifications") == {"items": [], "next": None, "unread_count": 0, "newest": None}
    assert ada.post("/notifications/read", status=200) == {"unread_count": 0}


def test_likes_of_a_post_are_one_item_with_the_newest_first(system: System, ada: Person) -> None:
    post, fans = ada.publish(), crowd(system, 5)
    for fan in fans:
        fan.put(f"/posts/{post}/like")
    page = inbox(system, ada)
    item = only(page)
    assert (item["kind"], item["post_id"], item["order_id"], item["state"]) == ("like", post, None, None)
    assert handles(item) == [fan.handle for fan in fans[:1:-1]]
    assert (item["count"], item["others"], item["read"]) == (5, 2, False)
    assert (page["unread_count"], page["next"]) == (1, None)
    assert item["actors"][0] == fans[-1].get(f"/accounts/{fans[-1].handle}")["account"]


def test_each_kind_is_an_item_of_its_own(system: System, ada: Person) -> None:
    (bob,), first, second = crowd(system, 1), ada.publish(), ada.publish()
    bob.put("/accounts/ada/follow")
    bob.put(f"/posts/{first}/like")
    bob.post(f"/posts/{first}/comments", {"body": "One"})
    bob.post(f"/posts/{first}/comments", {"body": "Two"})
    bob.put(f"/posts/{second}/like")
    page = inbox(system, ada)
    found = [(item["kind"], item["post_id"], item["count"]) for item in page["items"]]
    assert found == [("like", second, 1), ("comment", first, 1), ("like", first, 1), ("follow", None, 1)]
    assert page["unread_count"] == 4
    assert all(handles(item) == [bob.handle] for item in page["items"])
    assert len({item["id"] for item in page["items"]}) == 4


def test_own_activity_notifies_nobody(system: System, ada: Person) -> None:
    post = ada.publish()
    ada.put(f"/posts/{post}/like")
    ada.post(f"/posts/{post}/comments", {"body": "Mine"})
    assert inbox(system, ada)["items"] == []


def test_undone_activities_are_withdrawn(system: System, ada: Person) -> None:
    post, (bob, cyd) = ada.publish(), crowd(system, 2)
    for fan in (bob, cyd):
        fan.put("/accounts/ada/follow")
        fan.put(f"/posts/{post}/like")
        fan.post(f"/posts/{post}/comments", {"body": "b"})
    before = inbox(system, ada)["items"]
    assert [item["count"] for item in before] == [2, 2, 2]
    bob.delete("/accounts/ada/follow")
    bob.delete(f"/posts/{post}/like")
    bob.delete(f"/posts/{post}/comments/1")
    page = inbox(system, ada)
    assert [handles(item) for item in page["items"]] == [[cyd.handle]] * 3
    assert [item["id"] for item in page["items"]] == [item["id"] for item in before]
    cyd.delete("/accounts/ada/follow")
    cyd.delete(f"/posts/{post}/like")
    cyd.delete(f"/posts/{post}/comments/2")
    page = inbox(system, ada)
    assert (page["items"], page["unread_count"]) == ([], 0)
    bob.put(f"/posts/{post}/like")
    assert handles(only(inbox(system, ada))) == [bob.handle]


def test_an_unfollow_a_block_and_a_deletion_count_at_once(system: System, ada: Person) -> None:
    post, kept, (bob, cyd, dan) = ada.publish(), ada.publish(), crowd(system, 3)
    for fan in (bob, cyd, dan):
        fan.put("/accounts/ada/follow")
        fan.put(f"/posts/{post}/like")
        fan.put(f"/posts/{kept}/like")
    inbox(system, ada)
    bob.delete("/accounts/ada/follow")
    ada.put(f"/accounts/{cyd.handle}/block")
    dan.put("/accounts/ada/block")
    ada.delete(f"/posts/{post}", etag="*")
    page = ada.get("/notifications")
    item = only(page)
    assert (item["kind"], item["post_id"], handles(item), page["unread_count"]) == ("like", kept, [bob.handle], 1)
    system.relay.drain()
    assert ada.get("/notifications") == page
    bob.put("/accounts/ada/block")
    page = ada.get("/notifications")
    assert (page["items"], page["unread_count"], page["next"]) == ([], 0, None)


def test_the_read_marker(system: System, ada: Person) -> None:
    (bob, cyd), posts = crowd(system, 2), [ada.publish() for _ in range(3)]
    for post in posts:
        bob.put(f"/posts/{post}/like")
    page = inbox(system, ada)
    newest, middle, oldest = page["items"]
    assert page["unread_count"] == 3
    assert ada.post("/notifications/read", {"up_to": middle["id"]}, 200) == {"unread_count": 1}
    assert [item["read"] for item in ada.get("/notifications")["items"]] == [False, True, True]
    for earlier in ({"up_to": oldest["id"]}, {"up_to": FIRST}):
        assert ada.post("/notifications/read", earlier, 200) == {"unread_count": 1}
    cyd.put(f"/posts/{posts[0]}/like")
    again = [(item["id"], item["read"]) for item in inbox(system, ada)["items"]]
    assert again == [(oldest["id"], False), (newest["id"], False), (middle["id"], True)]
    assert ada.post("/notifications/read", {"up_to": page["newest"]}, 200) == {"unread_count": 1}
    cyd.delete(f"/posts/{posts[0]}/like")
    page = inbox(system, ada)
    assert (page["unread_count"], [item["read"] for item in page["items"]]) == (0, [True] * 3)
    cyd.put("/accounts/ada/follow")
    assert inbox(system, ada)["unread_count"] == 1
    assert ada.post("/notifications/read", {}, 200) == {"unread_count": 0}
    assert cyd.get("/notifications")["items"] == []


def test_the_read_marker_cannot_be_ahead_of_the_inbox(system: System, ada: Person) -> None:
    (bob,) = crowd(system, 1)
    bob.put("/accounts/ada/follow")
    system.relay.drain()
    assert ada.post("/notifications/read", {"up_to": LAST}, 200) == {"unread_count": 0}
    bob.put(f"/posts/{ada.publish()}/like")
    assert inbox(system, ada)["unread_count"] == 1


def test_reading_with_a_key_is_done_once(system: System, ada: Person) -> None:
    bob, cyd = crowd(system, 2)
    bob.put("/accounts/ada/follow")
    system.relay.drain()
    assert ada.pay("/notifications/read", {}, 200, "once") == {"unread_count": 0}
    cyd.put("/accounts/ada/follow")
    system.relay.drain()
    assert ada.keyed("/notifications/read", {}, "once").headers["Idempotent-Replayed"] == "true"
    assert ada.get("/notifications")["unread_count"] == 1


def test_unread_items_are_counted_up_to_a_hundred(system: System, ada: Person) -> None:
    (bob,) = crowd(system, 1)
    for _ in range(103):
        bob.put(f"/posts/{ada.publish()}/like")
    page = inbox(system, ada, limit=100)
    assert (page["unread_count"], len(page["items"])) == (100, 100)
    assert ada.post("/notifications/read", {"up_to": page["items"][99]["id"]}, 200) == {"unread_count": 99}
    assert [item["read"] for item in ada.get("/notifications", cursor=page["next"], limit=100)["items"]] == [True] * 3


def test_dispatching_again_and_in_another_order_changes_nothing(system: System, ada: Person) -> None:
    post, (bob, cyd), events = ada.publish(), crowd(system, 2), Dispatched(system)
    for fan in (bob, cyd):
        fan.put("/accounts/ada/follow")
        fan.put(f"/posts/{post}/like")
        fan.post(f"/posts/{post}/comments", {"body": "b"})
    bob.delete(f"/posts/{post}/like")
    bob.delete(f"/posts/{post}/comments/1")
    bob.delete("/accounts/ada/follow")
    system.relay.drain()
    page = ada.get("/notifications")
    assert [handles(item) for item in page["items"]] == [[cyd.handle]] * 3
    for event in [*events.seen, *reversed(events.seen)]:
        handle(system.container, event)
    assert ada.get("/notifications") == page


def test_invalid_requests_are_refused(system: System, ada: Person) -> None:
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "x" * 5001}, {"page": 1}):
        assert ada.get("/notifications", 400, **query)["code"] in {"bad_query", "bad_cursor"}
    wrong: list[Any] = ["x", 1, [], {}, "", str(uuid4()), "ffffffff-ffff-8fff-bfff-ffffffffffff"]
    for value in wrong:
        problem = ada.post("/notifications/read", {"up_to": value}, 422)
        assert [e["pointer"] for e in problem["errors"]] == ["/up_to"]
    ada.post("/notifications/read", {"until": FIRST}, 422)
    assert ada.send("POST", "/notifications/read", data=b"{", content_type="application/json").status_code == 400
    for _ in range(2):
        crowd(system, 1)[0].put(f"/posts/{ada.publish()}/like")
    cursor = inbox(system, ada, limit=1)["next"]
    assert system.person().get("/notifications", 400, cursor=cursor)["code"] == "bad_cursor"
    assert ada.get("/notifications", 400, cursor=cursor[:-1] + "_")["code"] == "bad_cursor"


class Dispatched:
    """Every event that the relay dispatches from now on."""

    def __init__(self, system: System) -> None:
        self.seen: list[Event] = []
        self._handle, system.relay._handle = system.relay._handle, self._noticed

    def _noticed(self, event: Event) -> None:
        self.seen.append(event)
        self._handle(event)


def test_an_old_event_without_a_time_is_ignored(system: System, ada: Person) -> None:
    (bob,), post = crowd(system, 1), ada.publish()
    payload = f'{{"type": "PostLiked", "post_id": "{post}", "account_id": "{bob.account["id"]}"}}'.encode()
    handle(system.container, Event(UUID(FIRST), "PostLiked", post, datetime.now(UTC), payload))
    assert ada.get("/notifications")["items"] == []
