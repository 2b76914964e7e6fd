"""Which events are dispatched, which are dead-lettered, and which wait."""

import random
import threading
from collections import defaultdict
from uuid import UUID

import pytest

from app.container import Container
from app.worker.handlers import handle
from app.worker.running import relay_of
from repositories.errors import Unavailable
from repositories.records.content import Post
from repositories.records.events import Event
from tests.system.crowd import (
    SteppedClock,
    befriend,
    dead_letters,
    people,
    publish,
    served,
    stored,
    unsent,
    watched,
    with_stores,
)
from tests.system.relay.runs import HOSTILE_REASONS, LEASE, OF_DOCUMENTS, TRIES, a_history, claim, edit, persist, relay


def test_every_event_is_dispatched_in_the_order_of_its_aggregate(container: Container, clock: SteppedClock) -> None:
    """Ids ascend in the order of writing. A post is an aggregate in both outboxes: for its likes, and its changes."""
    a_history(container)
    dispatched: dict[tuple[str, bool], list[UUID]] = defaultdict(list)
    written = unsent(container)
    chance = random.Random(5)  # noqa: S311 - the same story each time

    def listen(event: Event) -> None:
        if chance.random() < 0.3:
            raise Unavailable("feeds")
        dispatched[event.aggregate, event.type in OF_DOCUMENTS].append(event.id)

    persist(container, clock, relay(container, listen, batch=3))
    assert sum(map(len, dispatched.values())) == written > 30
    assert max(map(len, dispatched.values())) > 2
    assert all(ids == sorted(set(ids)) for ids in dispatched.values())


def test_a_poisoned_event_is_dead_lettered_and_delays_no_other(container: Container, clock: SteppedClock) -> None:
    [author] = people(container, 1)
    poisoned, sound = publish(container, author), publish(container, author)
    edit(container, author, poisoned)
    dispatched: list[tuple[str, UUID]] = []

    def listen(event: Event) -> None:
        if event.type == "PostPublished" and event.aggregate == str(poisoned):
            raise ZeroDivisionError("no reason")
        handle(container, event)
        dispatched.append((event.type, UUID(event.aggregate)))

    subject = relay(container, listen)
    for _ in range(TRIES - 1):
        subject.drain()
        assert dispatched == [("PostPublished", sound)]
        assert not dead_letters(container)
        clock.forward(LEASE)
    subject.drain()
    assert list(dead_letters(container).values()) == ["ZeroDivisionError: no reason"]
    assert dispatched == [("PostPublished", sound), ("PostEdited", poisoned)]
    assert served(container, author) == [sound, poisoned]

    assert container.stores.documents.outbox.replay(None, now=clock()) == 1
    assert relay_of(container).drain() == 1
    assert not dead_letters(container)
    assert served(container, author) == stored(container, author) == [sound, poisoned]


@pytest.mark.parametrize("payload", [b'{"type":"Unheard"}', b'{"type":"PostPublished"}', b"[]", b"\xff", b""])
def test_an_unknown_payload_is_dead_lettered(container: Container, clock: SteppedClock, payload: bytes) -> None:
    [author] = people(container, 1)
    now = clock()
    post = Post(container.kit.ids(), author, "t", "b", (), (), now, now, 1)
    container.stores.documents.posts.add(post, Event(container.kit.ids(), "Unheard", str(post.id), now, payload))
    with container.stores.relational.transaction() as tx:
        tx.emit(Event(container.kit.ids(), "Unheard", str(author), now, payload))
    sound = publish(container, author)
    persist(container, clock, relay_of(container))
    assert [reason.split(":")[0] for reason in dead_letters(container).values()] in (
        ["ValidationError"] * 2,
        ["DecodeError"] * 2,
    )
    assert served(container, author) == [sound, post.id]


@pytest.mark.parametrize("reason", HOSTILE_REASONS, ids=["NUL", "surrogate", "long", "empty", "control"])
def test_a_reason_with_any_text_is_stored(container: Container, clock: SteppedClock, reason: str) -> None:
    [author] = people(container, 1)
    container.people.graph.follow(author, people(container, 1)[0])
    publish(container, author)

    def refuse(_event: Event) -> None:
        raise ValueError(reason)

    persist(container, clock, relay(container, refuse))
    assert len(dead_letters(container)) == 2
    assert all(kept.startswith("ValueError") and len(kept) <= 1000 for kept in dead_letters(container).values())


def test_many_poisoned_events_do_not_hide_a_sound_one(container: Container) -> None:
    author, friend = people(container, 2)
    for _ in range(7):
        publish(container, author)
    sound = publish(container, friend)
    dispatched = []

    def listen(event: Event) -> None:
        if event.aggregate != str(sound):
            raise ZeroDivisionError
        dispatched.append(event)

    assert relay(container, listen, batch=2).drain() == len(dispatched) == 1


def test_an_unavailable_store_postpones_events_without_counting_attempts(
    container: Container, clock: SteppedClock
) -> None:
    author, *followers = people(container, 6)
    befriend(container, followers, [author])
    away = threading.Event()
    away.set()

    def notice(_call: str) -> None:
        if away.is_set():
            raise Unavailable("feeds")

    broken = with_stores(container, feeds=watched(container.stores.feeds, notice))
    posts = [publish(broken, author) for _ in range(5)][::-1]
    subject = relay_of(broken)
    for _ in range(3 * TRIES):
        assert subject.drain() == 0
        assert all(served(broken, follower) == posts for follower in followers)
        clock.forward(2)
    assert all(served(container, follower) == posts for follower in followers)
    assert [c.attempts for c in claim(container)] == [0] * 5
    clock.forward(24 * 3600 * LEASE)

    away.clear()
    assert subject.drain() == 5
    assert not dead_letters(container)
    assert all(stored(container, follower) == posts for follower in followers)


def test_posts_of_dead_lettered_or_waiting_events_are_in_every_feed(container: Container, clock: SteppedClock) -> None:
    author, *followers = people(container, 4)
    befriend(container, followers, [author])
    posts = [publish(container, author) for _ in range(9)]

    def listen(event: Event) -> None:
        if event.aggregate in map(str, posts[::3]):
            raise ZeroDivisionError
        if event.aggregate in map(str, posts[1::3]):
            raise Unavailable("feeds")
        handle(container, event)

    for _ in range(TRIES + 1):
        relay(container, listen).drain()
        for reader in (author, *followers):
            assert served(container, reader, 2) == posts[::-1]
        clock.forward(LEASE)
    assert len(dead_letters(container)) == 3
    assert unsent(container) == 3
