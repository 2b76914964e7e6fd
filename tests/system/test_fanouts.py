"""A post's fan-out: its order and steps, which posts are pulled, and how postponed fan-outs are completed."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from app.services.feeds.page_windows import Window
from app.worker.running import relay_of, sweeper_of
from config import Settings
from repositories import meter
from repositories.records.content import PostRef
from repositories.records.feeds import Fanout
from tests.apps import embedded, running
from tests.system.crowd import SteppedClock, befriend, people, publish, served, stored
from tests.system.relay.runs import ANY

DAY = timedelta(days=1).total_seconds()
FANS = 7


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def container(request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock) -> Iterator[Container]:
    """A system with a small chunk; tests can change settings by the fixture's parameter."""
    changes: dict[str, Any] = {"fanout_chunk": 2, "pull_seconds": 0.0} | getattr(request, "param", {})
    with running(Settings(**embedded(tmp_path) | changes), clock) as system:
        yield system.container


def crowd(container: Container) -> tuple[UUID, list[UUID]]:
    author, *fans = people(container, FANS + 1)
    befriend(container, fans, [author])
    return author, fans


def progress(container: Container, post: UUID) -> Fanout:
    found = container.stores.relational.fanouts.progress(post)
    assert found is not None
    return found


def pulled(container: Container) -> list[UUID]:
    return [one.author_id for one in container.stores.relational.fanouts.pulled_authors(after=None, limit=100)]


def test_recent_readers_are_pushed_first_and_nobody_is_left_out(container: Container, clock: SteppedClock) -> None:
    author, fans = crowd(container)
    clock.forward(2 * DAY)
    recent = fans[1::2]
    for fan in recent:
        container.pages.cards.home(fan, Window(limit=1))
    clock.forward(3600)
    order: list[UUID] = []
    push = container.stores.feeds.push

    def noted(post: Any, owners: Any, at: Any) -> None:
        order.extend(owners)
        push(post, owners, at)

    container.stores.feeds.push = noted  # type: ignore[method-assign] # to see in which order
    post = publish(container, author)
    relay_of(container).drain()
    assert order[0] == author
    assert set(order[1 : 1 + len(recent)]) == set(recent)
    assert sorted(order[1:]) == sorted(fans)
    assert all(stored(container, fan) == [post] for fan in fans)
    done = progress(container, post)
    assert (done.state, done.audience, done.delivered) == ("done", FANS, FANS)
    assert sum(count for _, count in done.lag_histogram) == FANS


@pytest.mark.parametrize("container", [{"fanout_slice_seconds": 0.0}], indirect=True)
def test_a_long_fan_out_yields_to_others_and_continues_where_it_stopped(
    container: Container, clock: SteppedClock
) -> None:
    author, fans = crowd(container)
    clock.forward(3600)
    post = publish(container, author)
    relay = relay_of(container)
    relay.round()
    begun = progress(container, post)
    assert (begun.state, begun.delivered) == ("running", 2)
    (stranger,) = people(container, 1)
    other = publish(container, stranger)
    relay_of(container).round()
    assert stored(container, stranger) == [other]
    assert progress(container, post).delivered == 4
    assert all(served(container, fan) == [post] for fan in fans)
    relay_of(container).drain()
    assert progress(container, post).state == "done"
    assert all(stored(container, fan) == [post] for fan in fans)


@pytest.mark.parametrize("container", [{"pull_threshold": 2 * FANS}], indirect=True)
def test_an_author_is_pulled_above_the_threshold_and_pushed_below_half_of_it(
    container: Container, clock: SteppedClock
) -> None:
    author, fans = crowd(container)
    pushed, left = publish(container, author), []
    relay_of(container).drain()
    assert pulled(container) == []
    left = [publish(container, author) for _ in range(2)]
    relay_of(container).drain()
    assert pulled(container) == [author]
    assert progress(container, left[-1]).state == "pulled"
    assert all(stored(container, fan) == [pushed] for fan in fans)
    assert all(served(container, fan) == [*left[::-1], pushed] for fan in fans)
    sweeper_of(container).sweep()
    relay_of(container).drain()
    assert pulled(container) == [author]
    clock.forward(8 * DAY)
    sweeper_of(container).sweep()
    assert pulled(container) == [author]
    relay_of(container).drain()
    assert pulled(container) == []
    assert all(stored(container, fan) == [*left[::-1], pushed] for fan in fans)


@pytest.mark.parametrize("container", [{"pull_threshold": 2 * FANS}], indirect=True)
def test_deliveries_that_were_postponed_are_not_late(
    container: Container, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their posts are pulled, and so in every feed, until the author returns."""
    lags: list[float] = []
    monkeypatch.setattr(meter, "observed", lambda _name, lag, count: lags.extend([lag] * count))
    author, fans = crowd(container)
    publish(container, author)
    relay_of(container).drain()
    left = [publish(container, author) for _ in range(2)]
    relay_of(container).drain()
    assert pulled(container) == [author]
    clock.forward(8 * DAY)
    sweeper_of(container).sweep()
    relay_of(container).drain()
    assert pulled(container) == []
    assert all(post in stored(container, fan) for post in left for fan in fans)
    assert len(lags) == FANS


@pytest.mark.parametrize("container", [{"pull_threshold": 7 * FANS}], indirect=True)
def test_a_day_without_posts_does_not_switch_a_celebrity_to_push(container: Container, clock: SteppedClock) -> None:
    author, _ = crowd(container)
    for _ in range(7):
        for _ in range(5):
            publish(container, author)
        clock.forward(DAY)
    for _ in range(5):
        publish(container, author)
    with container.stores.relational.transaction() as tx:
        tx.fanouts.pull(author, at=clock(), reason="threshold")
    relay_of(container).drain()
    clock.forward(1.1 * DAY)
    sweeper_of(container).sweep()
    relay_of(container).drain()
    assert pulled(container) == [author]


@pytest.mark.parametrize("container", [{"deliveries_per_second": 2}], indirect=True)
def test_posts_above_the_push_budget_are_pulled_and_none_is_lost(container: Container) -> None:
    author, fans = crowd(container)
    posts = [publish(container, author) for _ in range(3)][::-1]
    relay_of(container).drain()
    assert pulled(container) == [author]
    assert 0 < progress(container, posts[-1]).delivered < FANS
    assert all(served(container, fan) == posts for fan in fans)


def test_a_dormant_reader_is_not_pushed_to_and_is_filled_on_return(container: Container, clock: SteppedClock) -> None:
    author, fans = crowd(container)
    old = publish(container, author)
    relay_of(container).drain()
    clock.forward(31 * DAY)
    sweeper_of(container).sweep()
    sleeper, awake = fans[0], fans[1]
    container.pages.cards.home(awake, Window(limit=1))
    relay_of(container).drain()
    new = publish(container, author)
    relay_of(container).drain()
    assert stored(container, awake) == [new, old]
    assert stored(container, sleeper) == []
    assert progress(container, new).delivered == 1
    assert served(container, sleeper) == [new, old]
    newest = publish(container, author)
    relay_of(container).drain()
    assert stored(container, sleeper) == [newest, new, old]
    assert container.stores.relational.feed_activity.reader_state(sleeper).state == "awake"


def test_a_deleted_post_leaves_the_feeds_and_its_progress(container: Container) -> None:
    author, fans = crowd(container)
    post = publish(container, author)
    relay_of(container).drain()
    container.content.posts.delete(author, post, ANY)
    relay_of(container).drain()
    assert all(stored(container, reader) == [] for reader in (author, *fans))
    assert container.stores.relational.fanouts.progress(post) is None


def test_a_back_fill_while_the_deletion_commits_leaves_no_entry(container: Container, clock: SteppedClock) -> None:
    author, fans = crowd(container)
    post = publish(container, author)
    relay_of(container).drain()
    container.content.posts.delete(author, post, ANY)
    container.stores.feeds.fill(fans[0], [PostRef(post, author)], clock())
    container.stores.feeds.add_to_author(PostRef(post, author), clock())
    relay_of(container).drain()
    assert stored(container, fans[0]) == []
    assert container.stores.feeds.author_page(author, limit=9) == []


def test_entries_pushed_after_an_unfollow_are_gone_after_the_next_follow(
    container: Container, clock: SteppedClock
) -> None:
    author, fans = crowd(container)
    kept, post = publish(container, author), publish(container, author)
    relay_of(container).drain()
    container.people.graph.unfollow(fans[0], author)
    relay_of(container).drain()
    container.stores.feeds.push(PostRef(post, author), [fans[0]], clock())
    container.content.posts.delete(author, post, ANY)
    relay_of(container).drain()
    container.people.graph.follow(fans[0], author)
    relay_of(container).drain()
    assert stored(container, fans[0]) == [kept]


def test_a_deletion_above_the_tombstone_budget_leaves_no_entry(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, fans = crowd(container)
    post, kept = publish(container, author), publish(container, author)
    relay_of(container).drain()
    monkeypatch.setattr(container.stores.feeds, "retract", lambda _post, owners, _at: set(owners))
    container.content.posts.delete(author, post, ANY)
    relay_of(container).drain()
    relay_of(container).drain()
    assert all(stored(container, reader) == [kept] for reader in (author, *fans))


@pytest.mark.long
@pytest.mark.parametrize("container", [{"backfill_posts": 5000}], indirect=True)
def test_a_feed_with_too_many_tombstones_is_refilled(container: Container, clock: SteppedClock) -> None:
    """After more deletions than the tombstone budget, pages stay right, and later ones are cheap again."""
    author, fans = crowd(container)
    keeper = people(container, 1)[0]
    befriend(container, [fans[0]], [keeper])
    kept = publish(container, keeper)
    posts = [publish(container, author) for _ in range(1100)]
    relay_of(container).drain()
    clock.forward(3600)
    container.people.graph.unfollow(fans[0], author)
    assert served(container, fans[0]) == [kept]
    relay_of(container).drain()
    relay_of(container).drain()
    assert stored(container, fans[0]) == [kept]
    assert served(container, fans[1]) == posts[::-1]
