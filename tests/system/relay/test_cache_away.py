"""While the cache is unavailable, drops and live events are deferred; everything else continues."""

from typing import Any, NamedTuple
from uuid import UUID

import pytest

from app.container import Container
from app.worker import running as worker
from repositories.errors import Unavailable
from repositories.hot.streams_port import Position
from tests.system.crowd import (
    befriend,
    people,
    post_stats,
    publish,
    stored,
    unsent,
    watched,
    with_stores,
)


class Outage(NamedTuple):
    """`container` is a relay whose cache can be unavailable; `server` is another process, whose cache never is."""

    container: Container
    server: Container
    down: set[str]

    def begin(self) -> None:
        self.down.add("")

    def end(self) -> None:
        self.down.clear()

    def live(self, owner: UUID, since: Position) -> list[str]:
        [delta] = self.server.stores.streams.since([(owner, since)], limit=100)
        return [event.name for event in delta.events]


@pytest.fixture
def outage(container: Container, monkeypatch: pytest.MonkeyPatch) -> Outage:
    """A relay that asks the cache again as soon as it is back, without a pause."""
    monkeypatch.setattr("app.services.pages.invalidation.AWAY_SECONDS", 0.0)
    monkeypatch.setattr("app.services.live.announcer.AWAY_SECONDS", 0.0)
    down: set[str] = set()

    def notice(call: str) -> None:
        if down and call.startswith("before"):
            raise Unavailable("cache")

    cut: dict[str, Any] = {
        name: watched(getattr(container.stores, name), notice) for name in ("cache", "streams", "views")
    }
    return Outage(with_stores(container, **cut), container, down)


def drain(container: Container) -> None:
    worker.relay_of(container).drain()


def test_durable_effects_happen_without_the_cache(outage: Outage) -> None:
    ada, bob = people(outage.server, 2)
    befriend(outage.server, [bob], [ada])
    first = publish(outage.server, ada)
    drain(outage.server)
    assert post_stats(outage.server, [first])[first].likes == 0
    listening = {who: outage.server.stores.streams.listen(who) for who in (ada, bob)}
    outage.begin()
    post = publish(outage.server, ada)
    outage.server.content.posts.like(bob, first)
    drain(outage.container)
    assert unsent(outage.server) == 0
    assert stored(outage.server, bob)[0] == post
    assert [n.activity.kind for n in outage.server.stores.feeds.notifications.page(ada, limit=9)] == ["like"]
    assert outage.live(bob, listening[bob]) == []
    worker.sweeper_of(outage.container).sweep()
    assert len(outage.server.stores.relational.deferred.first(limit=99)) > 2
    outage.end()
    worker.sweeper_of(outage.container).sweep()
    assert outage.server.stores.relational.deferred.first(limit=99) == []
    assert outage.live(bob, listening[bob]) == ["post"]
    assert sorted(outage.live(ada, listening[ada])) == ["notification", "post"]


def test_a_fan_out_is_not_repeated_because_of_the_cache(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, *fans = people(outage.server, 6)
    befriend(outage.server, fans, [ada])
    pushed: list[int] = []
    feeds = outage.server.stores.feeds
    push = feeds.push

    def counting(post: Any, owners: Any, at: Any) -> None:
        pushed.append(len(owners))
        push(post, owners, at)

    monkeypatch.setattr(feeds, "push", counting)
    outage.begin()
    publish(outage.server, ada)
    for _ in range(5):
        drain(outage.container)
    assert sum(pushed) == 1 + len(fans)


def test_an_undelivered_drop_survives_its_processes(outage: Outage) -> None:
    """The writer and the relay cannot reach the cache, which has the old count, and end before it is back."""
    ada, bob = people(outage.server, 2)
    inbox = outage.server.notifications.inbox
    post = publish(outage.server, ada)
    drain(outage.server)
    assert post_stats(outage.server, [post])[post].likes == inbox.unread(ada) == 0
    outage.begin()
    outage.container.content.posts.like(bob, post)
    drain(outage.container)
    outage.end()
    assert unsent(outage.server) == 0
    assert post_stats(outage.server, [post])[post].likes == inbox.unread(ada) == 0
    worker.sweeper_of(outage.server).sweep()
    assert post_stats(outage.server, [post])[post].likes == inbox.unread(ada) == 1
