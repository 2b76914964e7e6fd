"""Listeners get every live event exactly once, wherever the relay dies."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from app.worker.running import relay_of
from config import Settings
from repositories.hot.streams_port import Position
from tests.apps import embedded, running
from tests.system.crowd import SteppedClock, befriend, people, publish, watched, with_stores
from tests.system.relay.runs import ANY, DEATH_EVERY, LEASE, Crash, persist

WAYS: dict[str, dict[str, Any]] = {
    "pushed": {},
    "in slices": {"fanout_slice_seconds": 0.0},
    "pulled": {"pull_threshold": 1},
    "shed": {"deliveries_per_second": 1},
}
ROLES = ("relational", "documents", "feeds", "cache", "streams")


@pytest.fixture(params=WAYS)
def container(request: pytest.FixtureRequest, clock: SteppedClock, tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), **WAYS[request.param], fanout_chunk=2), clock) as system:
        yield system.container


@pytest.mark.long
def test_a_crash_at_any_store_call_loses_and_duplicates_no_live_event(
    container: Container, clock: SteppedClock
) -> None:
    left = 0

    def notice(_call: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    stores = {role: watched(getattr(container.stores, role), notice) for role in ROLES}
    crashing, healthy = relay_of(with_stores(container, **stores)), relay_of(container)
    for crashes in itertools.count(step=DEATH_EVERY):
        author, *followers = readers = people(container, 6)
        befriend(container, followers, [author])
        old = publish(container, author)
        persist(container, clock, healthy)
        places = {reader: container.stores.streams.listen(reader) for reader in readers}
        container.content.posts.delete(author, old, ANY)
        new = publish(container, author)
        left = crashes
        try:
            crashing.drain()
        except Crash:
            clock.forward(LEASE + 1)
            persist(container, clock, healthy)
        for reader, place in places.items():
            assert received_keys(container, reader, place) == [f"gone:{old}", f"post:{new}"], (
                crashes,
                reader == author,
            )
        if left >= 0:
            break
    assert crashes > 30


def received_keys(container: Container, reader: UUID, place: Position) -> list[str]:
    [delta] = container.stores.streams.since([(reader, place)], limit=100)
    return sorted(event.key for event in delta.events)
