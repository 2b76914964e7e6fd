"""Relays over a system on embedded adapters, and helpers for their tests."""

import os
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from app.container import Container
from app.services.commands.precondition import Precondition
from app.worker.relay import Relay, RelayLimits
from repositories.outbox import Claim
from repositories.records.events import Event
from tests.system.crowd import (
    SteppedClock,
    defined,
    outboxes,
    people,
    publish,
    served,
    unsent,
)

ANY = Precondition(given=True, any=True)
LEASE = 30
# Tests let a relay die at every call to a store whose number is a multiple of this.
DEATH_EVERY = int(os.environ.get("QUARTET_RELAY_DEATH_EVERY", "3"))
TRIES = 3
OF_DOCUMENTS = {"PostPublished", "PostEdited", "PostDeleted"}
HOSTILE_REASONS = ["a\0b", "half of \ud83d", "x" * 10_000_000, "", "\n\x1b[31m"]
Handle = Callable[[Event], None]


class Crash(BaseException):
    """Simulates the death of the process; nothing may rely on cleanup after it."""


def relay(container: Container, handle: Handle, batch: int = 100) -> Relay:
    limits = RelayLimits(timedelta(seconds=0.01), timedelta(seconds=LEASE), attempts=TRIES, batch=batch)
    return Relay(outboxes(container), handle, container.kit.clock, limits)


def claim(container: Container) -> list[Claim]:
    now = container.kit.clock()
    return [c for o in outboxes(container) for c in o.claim(now=now, lease_until=now + timedelta(LEASE), limit=1000)]


def edit(container: Container, author: UUID, post: UUID) -> None:
    container.content.posts.edit(author, post, {"title": "Edited"}, ANY)


def persist(container: Container, clock: SteppedClock, relay: Relay) -> None:
    """Run the relay until no event waits."""
    for _ in range(100):
        relay.drain()
        clock.forward(LEASE + 1)
        if not unsent(container):
            return
    raise AssertionError("events are still waiting")


def a_history(container: Container) -> list[UUID]:
    """Posts, edits, deletions, follows, unfollows, blocks. Returns the people."""
    everybody = ada, bob, cyd, dan = people(container, 4)
    graph = container.people.graph
    posts = [publish(container, author) for author in everybody for _ in range(4)]
    for follower, followee in [(bob, ada), (cyd, ada), (dan, ada), (ada, bob), (cyd, bob), (dan, cyd)]:
        graph.follow(follower, followee)
    posts += [publish(container, author) for author in everybody for _ in range(2)]
    for post, author in ((posts[1], ada), (posts[7], bob), (posts[16], ada), (posts[20], cyd)):
        edit(container, author, post)
        container.content.posts.delete(author, post, ANY)
    graph.unfollow(cyd, ada)
    graph.block(ada, dan)
    graph.follow(cyd, ada)
    graph.unblock(ada, dan)
    graph.follow(dan, ada)
    graph.unfollow(dan, cyd)
    publish(container, ada)
    container.content.posts.like(bob, posts[0])
    return everybody


def assert_served_as_defined(container: Container, everybody: list[UUID]) -> None:
    for reader in everybody:
        for size in (2, 100):
            assert served(container, reader, size) == defined(container, reader)
