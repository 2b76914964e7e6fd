"""Several relays at once, dead relays, and crashes at any point."""

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from app.container import Container
from app.worker.handlers import handle
from app.worker.relay import Relay, RelayLimits
from app.worker.running import relay_of
from repositories.errors import Unavailable
from repositories.records.events import Event
from tests.system.crowd import (
    SteppedClock,
    befriend,
    dead_letters,
    defined,
    outboxes,
    people,
    publish,
    served,
    stored,
    unsent,
    watched,
    with_stores,
)
from tests.system.relay.runs import (
    ANY,
    DEATH_EVERY,
    LEASE,
    TRIES,
    Crash,
    a_history,
    assert_served_as_defined,
    claim,
    relay,
)


def test_two_relays_at_once_deliver_everything(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    author, *followers = people(container, 10)
    befriend(container, followers, [author])
    posts = [publish(container, author) for _ in range(60)]
    for follower in followers:
        container.people.graph.follow(author, follower)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        drains = [pool.submit(relay(container, lambda e: handle(container, e), batch=5).drain) for _ in range(2)]
        counts = [drained.result() for drained in drains]
    assert sum(counts) == len(posts) + len(followers)
    assert not caplog.records
    assert not unsent(container)
    assert all(stored(container, reader) == posts[::-1] for reader in (author, *followers))


def test_events_claimed_by_a_dead_relay_are_taken_over_after_the_lease(
    container: Container, clock: SteppedClock
) -> None:
    author, follower = people(container, 2)
    container.people.graph.follow(follower, author)
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


@pytest.mark.long
def test_a_crash_at_any_call_to_any_store_loses_and_duplicates_nothing(
    container: Container, clock: SteppedClock
) -> None:
    """Each round writes a history and runs a relay that dies some calls later than in the round before."""
    left = 0

    def notice(_call: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    stores = {
        role: watched(getattr(container.stores, role), notice) for role in ("relational", "documents", "feeds", "cache")
    }
    crashing = relay_of(with_stores(container, **stores))
    survived = False
    crashes = 0
    while not survived:
        author, *followers = readers = people(container, 6)
        befriend(container, followers[1:], [author])
        old = publish(container, author)
        container.people.graph.follow(followers[0], author)
        posts = [publish(container, author), publish(container, author)]
        container.content.posts.delete(author, old, ANY)
        left = crashes
        try:
            crashing.drain()
            survived = True
        except Crash:
            crashes += DEATH_EVERY
        for reader in readers:
            assert served(container, reader) == posts[::-1]
        clock.forward(LEASE + 1)
        relay_of(container).drain()
        assert not unsent(container)
        for reader in readers:
            assert stored(container, reader) == served(container, reader) == defined(container, reader) == posts[::-1]
    assert crashes > 50
    assert not dead_letters(container)


def test_events_dispatched_again_in_any_order_change_nothing(container: Container) -> None:
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


def test_events_first_dispatched_in_reverse_order_give_the_same_feeds(container: Container) -> None:
    everybody = a_history(container)
    for _ in range(2):
        for one in reversed(claim(container)):
            handle(container, one.event)
        assert_served_as_defined(container, everybody)


def test_no_event_is_begun_in_the_second_half_of_the_lease(container: Container, clock: SteppedClock) -> None:
    [author] = people(container, 1)
    for _ in range(6):
        publish(container, author)
    dispatched: list[Event] = []

    def listen(event: Event) -> None:
        clock.forward(LEASE / 5)
        dispatched.append(event)

    slow = relay(container, listen)
    assert slow.round() == 3
    assert len(claim(container)) == 3
    assert len(dispatched) == 3


def test_a_stopped_relay_releases_the_events_that_it_has_not_begun(container: Container) -> None:
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
    Relay([watched(inner, notice)], lambda _: stop.set(), container.kit.clock, limits).run(stop)
    assert not unsent(container)
    assert "a round of the relay failed" in caplog.text


def test_an_outcome_that_cannot_be_written_delays_only_itself(container: Container, clock: SteppedClock) -> None:
    """`acknowledge` fails once: the dispatched event is dispatched again after its lease, all others without delay."""
    [author] = people(container, 1)
    for _ in range(3):
        publish(container, author)
    dispatched: list[UUID] = []
    fails = iter([True])

    def notice(call: str) -> None:
        if call == "before acknowledge" and next(fails, False):
            raise Unavailable("documents")

    limits = RelayLimits(timedelta(seconds=0.01), timedelta(seconds=LEASE), attempts=TRIES)
    outbox = watched(container.stores.documents.outbox, notice)
    subject = Relay([outbox], lambda event: dispatched.append(event.id), clock, limits)
    assert subject.drain() == 2
    clock.forward(LEASE + 1)
    assert subject.drain() == 1
    assert len(dispatched) == 4
    assert dispatched[0] == dispatched[3]
