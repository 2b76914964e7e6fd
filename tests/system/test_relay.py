"""The relay: at least once, in order, past poison, past absent stores, past its own death at any point."""

import logging
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from app.handlers import handle
from app.relay import Relay, RelayLimits, relay_of
from app.services.precondition import Precondition
from config import Settings
from repositories.errors import Unavailable
from repositories.outbox import Claim
from repositories.records import Event, Post
from tests.apps import embedded, running
from tests.system.crowd import (
    Watch,
    befriend,
    defined,
    outboxes,
    parked,
    people,
    publish,
    served,
    stored,
    unsent,
    watched,
    with_stores,
)

ANY = Precondition(given=True, any=True)
LEASE = 30
TRIES = 3
OF_DOCUMENTS = {"PostPublished", "PostEdited", "PostDeleted"}
HOSTILE_REASONS = ["a\0b", "half of \ud83d", "x" * 10_000_000, "", "\n\x1b[31m"]
Handle = Callable[[Event], None]


class Crash(BaseException):
    """The process ends here: nothing that runs afterwards may count on clean-up."""


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
def container(clock: Watch, tmp_path: Path) -> Iterator[Container]:
    stores: dict[str, Any] = dict(embedded(tmp_path))
    settings = Settings(**stores, relay_lease_seconds=LEASE, relay_attempts=TRIES, fanout_chunk=2, backfill_posts=3)
    with running(settings, clock) as system:
        yield system.container


def relay(container: Container, handle: Handle, batch: int = 100) -> Relay:
    limits = RelayLimits(timedelta(seconds=0.01), timedelta(seconds=LEASE), attempts=TRIES, batch=batch)
    return Relay(outboxes(container), handle, container.clock, limits)


def claim(container: Container) -> list[Claim]:
    now = container.clock()
    return [c for o in outboxes(container) for c in o.claim(now=now, lease_until=now + timedelta(LEASE), limit=1000)]


def edit(container: Container, author: UUID, post: UUID) -> None:
    container.posts.edit(author, post, {"title": "Edited"}, ANY)


def persist(container: Container, clock: Watch, relay: Relay) -> None:
    """Relay until nothing waits."""
    for _ in range(100):
        relay.drain()
        clock.forward(LEASE + 1)
        if not unsent(container):
            return
    raise AssertionError("events wait for ever")


def a_history(container: Container) -> list[UUID]:
    """Posts, edits, deletions, follows, unfollows, blocks. Returns the people."""
    everybody = ada, bob, cyd, dan = people(container, 4)
    graph = container.graph
    posts = [publish(container, author) for author in everybody for _ in range(4)]
    for follower, followee in [(bob, ada), (cyd, ada), (dan, ada), (ada, bob), (cyd, bob), (dan, cyd)]:
        graph.follow(follower, followee)
    posts += [publish(container, author) for author in everybody for _ in range(2)]
    for post, author in ((posts[1], ada), (posts[7], bob), (posts[16], ada), (posts[20], cyd)):
        edit(container, author, post)
        container.posts.delete(author, post, ANY)
    graph.unfollow(cyd, ada)
    graph.block(ada, dan)
    graph.follow(cyd, ada)
    graph.unblock(ada, dan)
    graph.follow(dan, ada)
    graph.unfollow(dan, cyd)
    publish(container, ada)
    container.posts.like(bob, posts[0])
    return everybody


def assert_served_as_defined(container: Container, everybody: list[UUID]) -> None:
    for reader in everybody:
        for size in (2, 100):
            assert served(container, reader, size) == defined(container, reader)


def test_every_event_is_told_in_the_order_of_its_aggregate(container: Container, clock: Watch) -> None:
    """Ids rise as events are written. A post is an aggregate of both outboxes: of its likes, and of itself."""
    a_history(container)
    told: dict[tuple[str, bool], list[UUID]] = defaultdict(list)
    written = unsent(container)
    chance = random.Random(5)  # noqa: S311 - the same story each time

    def listen(event: Event) -> None:
        if chance.random() < 0.3:
            raise Unavailable("feeds")
        told[event.aggregate, event.type in OF_DOCUMENTS].append(event.id)

    persist(container, clock, relay(container, listen, batch=3))
    assert sum(map(len, told.values())) == written > 30
    assert max(map(len, told.values())) > 2
    assert all(ids == sorted(set(ids)) for ids in told.values())


def test_a_poisoned_event_is_set_aside_and_holds_up_nobody(container: Container, clock: Watch) -> None:
    [author] = people(container, 1)
    poisoned, sound = publish(container, author), publish(container, author)
    edit(container, author, poisoned)
    told: list[tuple[str, UUID]] = []

    def listen(event: Event) -> None:
        if event.type == "PostPublished" and event.aggregate == str(poisoned):
            raise ZeroDivisionError("no reason")
        handle(container, event)
        told.append((event.type, UUID(event.aggregate)))

    subject = relay(container, listen)
    for _ in range(TRIES - 1):
        subject.drain()
        assert told == [("PostPublished", sound)]
        assert not parked(container)
        clock.forward(LEASE)
    subject.drain()
    assert list(parked(container).values()) == ["ZeroDivisionError: no reason"]
    assert told == [("PostPublished", sound), ("PostEdited", poisoned)]
    assert served(container, author) == [sound, poisoned]

    assert container.stores.documents.outbox.replay(None, now=clock()) == 1
    assert relay_of(container).drain() == 1
    assert not parked(container)
    assert served(container, author) == stored(container, author) == [sound, poisoned]


@pytest.mark.parametrize("payload", [b'{"type":"Unheard"}', b'{"type":"PostPublished"}', b"[]", b"\xff", b""])
def test_an_unknown_payload_is_set_aside(container: Container, clock: Watch, payload: bytes) -> None:
    [author] = people(container, 1)
    now = clock()
    post = Post(container.ids(), author, "t", "b", (), (), now, now, 1)
    container.stores.documents.posts.add(post, Event(container.ids(), "Unheard", str(post.id), now, payload))
    with container.stores.relational.transaction() as tx:
        tx.emit(Event(container.ids(), "Unheard", str(author), now, payload))
    sound = publish(container, author)
    persist(container, clock, relay_of(container))
    assert [reason.split(":")[0] for reason in parked(container).values()] in (
        ["ValidationError"] * 2,
        ["DecodeError"] * 2,
    )
    assert served(container, author) == [sound, post.id]


@pytest.mark.parametrize("reason", HOSTILE_REASONS, ids=["NUL", "surrogate", "long", "empty", "control"])
def test_whatever_the_reason_says_it_is_kept(container: Container, clock: Watch, reason: str) -> None:
    [author] = people(container, 1)
    container.graph.follow(author, people(container, 1)[0])
    publish(container, author)

    def refuse(_event: Event) -> None:
        raise ValueError(reason)

    persist(container, clock, relay(container, refuse))
    assert len(parked(container)) == 2
    assert all(kept.startswith("ValueError") and len(kept) <= 1000 for kept in parked(container).values())


def test_many_poisoned_events_do_not_hide_a_sound_one(container: Container) -> None:
    author, friend = people(container, 2)
    for _ in range(7):
        publish(container, author)
    sound = publish(container, friend)
    told = []

    def listen(event: Event) -> None:
        if event.aggregate != str(sound):
            raise ZeroDivisionError
        told.append(event)

    assert relay(container, listen, batch=2).drain() == len(told) == 1


def test_a_store_that_is_away_postpones_without_counting(container: Container, clock: Watch) -> None:
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
    assert not parked(container)
    assert all(stored(container, follower) == posts for follower in followers)


def test_a_cache_that_is_away_does_not_have_the_fan_out_done_again_and_again(
    container: Container, clock: Watch
) -> None:
    author, follower = people(container, 2)
    befriend(container, [follower], [author])
    calls: list[str] = []
    away = [True]

    def refuse(_call: str) -> None:
        if away:
            raise Unavailable("cache")

    cache, feeds = watched(container.stores.cache, refuse), watched(container.stores.feeds, calls.append)
    broken = with_stores(container, feeds=feeds, cache=cache)
    post = publish(broken, author)
    for _ in range(5):
        relay_of(broken).drain()
        clock.forward(2)
    assert calls.count("before push") <= 2
    assert served(broken, follower) == [post]
    away.clear()
    assert relay_of(broken).drain() == 1
    assert stored(container, follower) == [post]


def test_what_is_parked_or_waits_is_in_every_feed(container: Container, clock: Watch) -> None:
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
    assert len(parked(container)) == 3
    assert unsent(container) == 3


def test_two_relays_at_once_deliver_everything(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    author, *followers = people(container, 10)
    befriend(container, followers, [author])
    posts = [publish(container, author) for _ in range(60)]
    for follower in followers:
        container.graph.follow(author, follower)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        drains = [pool.submit(relay(container, lambda e: handle(container, e), batch=5).drain) for _ in range(2)]
        counts = [drained.result() for drained in drains]
    assert sum(counts) == len(posts) + len(followers)
    assert not caplog.records
    assert not unsent(container)
    assert all(stored(container, reader) == posts[::-1] for reader in (author, *followers))


def test_what_a_dead_relay_claimed_is_taken_over_after_the_lease(container: Container, clock: Watch) -> None:
    author, follower = people(container, 2)
    container.graph.follow(follower, author)
    posts = [publish(container, author) for _ in range(3)][::-1]
    now = clock()
    for outbox in outboxes(container):
        assert outbox.claim(now=now, lease_until=now + timedelta(seconds=LEASE), limit=100)
    assert relay_of(container).drain() == 0
    clock.forward(LEASE - 1)
    assert relay_of(container).drain() == 0
    assert served(container, follower) == posts
    clock.forward(2)
    assert relay_of(container).drain() == 4
    assert stored(container, follower) == served(container, follower) == posts


def test_a_crash_at_any_call_to_any_store_loses_and_doubles_nothing(container: Container, clock: Watch) -> None:
    """Each round writes a history, and a relay that dies one call further on than in the round before."""
    left = 0

    def notice(_call: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    stores = {
        role: watched(getattr(container.stores, role), notice) for role in ("relational", "documents", "feeds", "cache")
    }
    mortal = relay_of(with_stores(container, **stores))
    survived = False
    crashes = 0
    while not survived:
        author, *followers = readers = people(container, 6)
        befriend(container, followers[1:], [author])
        old = publish(container, author)
        container.graph.follow(followers[0], author)
        posts = [publish(container, author), publish(container, author)]
        container.posts.delete(author, old, ANY)
        left = crashes
        try:
            mortal.drain()
            survived = True
        except Crash:
            crashes += 1
        for reader in readers:
            assert served(container, reader) == posts[::-1]
        clock.forward(LEASE + 1)
        relay_of(container).drain()
        assert not unsent(container)
        for reader in readers:
            assert stored(container, reader) == served(container, reader) == defined(container, reader) == posts[::-1]
    assert crashes > 50
    assert not parked(container)


def test_events_told_twice_and_backwards_change_nothing(container: Container) -> None:
    everybody = a_history(container)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        handle(container, event)

    relay(container, listen).drain()
    assert len(events) > 30
    assert_served_as_defined(container, everybody)
    chance = random.Random(7)  # noqa: S311 - the same order each time
    for order in (events, events[::-1], events[::-1], chance.sample(events, len(events))):
        for event in order:
            handle(container, event)
        assert_served_as_defined(container, everybody)
    publish(container, everybody[0])
    assert_served_as_defined(container, everybody)


def test_events_told_backwards_from_the_start_change_nothing(container: Container) -> None:
    everybody = a_history(container)
    for _ in range(2):
        for one in reversed(claim(container)):
            handle(container, one.event)
        assert_served_as_defined(container, everybody)


def test_no_event_is_begun_in_the_second_half_of_the_lease(container: Container, clock: Watch) -> None:
    [author] = people(container, 1)
    for _ in range(6):
        publish(container, author)
    told: list[Event] = []

    def listen(event: Event) -> None:
        clock.forward(LEASE / 5)
        told.append(event)

    slow = relay(container, listen)
    assert slow.round() == 3
    assert len(claim(container)) == 3
    assert len(told) == 3


def test_a_relay_that_is_stopped_gives_back_what_it_has_not_begun(container: Container) -> None:
    [author] = people(container, 1)
    for _ in range(5):
        publish(container, author)
    stop = threading.Event()
    relay(container, lambda _: stop.set()).run(stop)
    assert len(claim(container)) == 4


def test_a_fault_in_an_outbox_does_not_end_the_relay(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    [author] = people(container, 1)
    publish(container, author)
    stop = threading.Event()
    faults = iter([ZeroDivisionError(), Unavailable("documents"), ZeroDivisionError()])

    def notice(_call: str) -> None:
        for fault in faults:
            raise fault

    inner = container.stores.documents.outbox
    limits = RelayLimits(timedelta(seconds=0.01), timedelta(seconds=LEASE), attempts=TRIES)
    Relay([watched(inner, notice)], lambda _: stop.set(), container.clock, limits).run(stop)
    assert not unsent(container)
    assert "a round of the relay failed" in caplog.text


def test_an_outcome_that_cannot_be_written_delays_only_itself(container: Container, clock: Watch) -> None:
    """`done` fails once: what was told is told again after the lease, all else goes on at once."""
    [author] = people(container, 1)
    for _ in range(3):
        publish(container, author)
    told: list[UUID] = []
    fails = iter([True])

    def notice(call: str) -> None:
        if call == "before done" and next(fails, False):
            raise Unavailable("documents")

    limits = RelayLimits(timedelta(seconds=0.01), timedelta(seconds=LEASE), attempts=TRIES)
    outbox = watched(container.stores.documents.outbox, notice)
    subject = Relay([outbox], lambda event: told.append(event.id), clock, limits)
    assert subject.drain() == 2
    clock.forward(LEASE + 1)
    assert subject.drain() == 1
    assert len(told) == 4
    assert told[0] == told[3]
