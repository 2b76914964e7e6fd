"""Notifications that are dispatched late or twice, and the read marker."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.worker.handlers import handle
from config import Settings
from repositories.records.events import Event
from tests.apps import Person, System, embedded, running
from tests.system.crowd import SteppedClock


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path)), SteppedClock()) as found:
        yield found


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada")


def inbox(system: System, person: Person) -> Any:
    system.relay.drain()
    return person.get("/notifications")


@pytest.mark.parametrize("by_newest", [False, True])
def test_an_event_dispatched_after_the_reading_is_unread(system: System, ada: Person, by_newest: bool) -> None:  # noqa: FBT001
    """A slow relay holds the older like, while the newer one is stored and read."""
    first, second, bob, cyd = ada.publish(), ada.publish(), system.person(), system.person()
    inbox(system, ada)
    bob.put(f"/posts/{first}/like")
    outbox, now = system.container.stores.relational.outbox, system.container.kit.clock()
    held = outbox.claim(now=now + timedelta(hours=1), lease_until=now + timedelta(days=2), limit=9)
    assert [claim.event.type for claim in held] == ["PostLiked"]
    cyd.put(f"/posts/{second}/like")
    page = inbox(system, ada)
    assert [item["post_id"] for item in page["items"]] == [second]
    wanted = {"up_to": page["newest"]} if by_newest else {}
    assert ada.post("/notifications/read", wanted, 200) == {"unread_count": 0}
    outbox.release(held)
    page = inbox(system, ada)
    assert page["unread_count"] == 1
    assert [(item["post_id"], item["read"]) for item in page["items"]] == [(second, True), (first, False)]
    assert ada.post("/notifications/read", {"up_to": page["newest"]}, 200) == {"unread_count": 0}


def test_an_event_dispatched_twice_stays_read(system: System, ada: Person) -> None:
    post, bob, seen = ada.publish(), system.person(), list[Event]()
    outbox, now = system.container.stores.relational.outbox, system.container.kit.clock()
    bob.put(f"/posts/{post}/like")
    claims = outbox.claim(now=now + timedelta(hours=1), lease_until=now + timedelta(hours=2), limit=9)
    seen += [claim.event for claim in claims]
    outbox.release(claims)
    assert inbox(system, ada)["unread_count"] == 1
    assert ada.post("/notifications/read", status=200) == {"unread_count": 0}
    for event in seen:
        handle(system.container, event)
    assert [item["read"] for item in inbox(system, ada)["items"]] == [True]
