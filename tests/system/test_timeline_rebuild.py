"""A home timeline that is filled anew while other changes of it arrive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from app.worker.running import relay_of
from config import Settings
from repositories.records.content import PostRef
from repositories.records.graph import Follow
from tests.apps import embedded, running
from tests.system.crowd import SteppedClock, befriend, people, publish, stored
from tests.system.relay.runs import ANY


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def container(tmp_path: Path, clock: SteppedClock) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), pull_seconds=0.0), clock) as system:
        yield system.container


def followed(container: Container) -> tuple[UUID, UUID]:
    """An author and a follower."""
    author, fan = people(container, 2)
    befriend(container, [fan], [author])
    return author, fan


def test_a_post_deleted_during_a_rebuild_leaves_no_entry(container: Container, clock: SteppedClock) -> None:
    author, fan = followed(container)
    kept, post = publish(container, author), publish(container, author)
    relay_of(container).drain()
    audit, graph, feeds = container.stores.feeds.audit, container.people.graph, container.feeds
    restore = audit.restore_home

    def late(owner: UUID, posts: Any, at: Any) -> None:
        graph.unfollow(fan, author)
        container.content.posts.delete(author, post, ANY)
        feeds.fanouts.retract(PostRef(post, author), clock())
        feeds.back_fill.clear(fan, author, clock())
        graph.follow(fan, author)
        (again,) = container.stores.relational.graph.following(fan, before=None, limit=9)
        feeds.back_fill.fill(Follow(fan, author, again.since), clock())
        restore(owner, posts, at)

    clock.forward(3600)
    feeds.timeline_rebuild.request(fan)
    asked = clock()
    audit.restore_home = late  # type: ignore[method-assign] # to be overtaken
    feeds.timeline_rebuild.fill(fan, asked)
    assert stored(container, fan) == [kept]


def test_a_late_fill_of_a_feed_requested_twice_restores_trimmed_posts(
    container: Container, clock: SteppedClock
) -> None:
    """The relay is late: it handles the first request after the second one's trim, and completes both."""
    author, fan = followed(container)
    post = publish(container, author)
    relay_of(container).drain()
    rebuild, first = container.feeds.timeline_rebuild, clock()
    rebuild.request(fan)
    clock.forward(3600)
    rebuild.request_and_trim(fan)
    for asked in (first, clock()):
        rebuild.fill(fan, asked)
    assert stored(container, fan) == [post]
