"""Feeds that are answered from the kept flight and reader state, with concurrent writers, in every order.

The writer is another process, whose drops reach the cache or fail. A read that begins after an answer must include what
was answered. The same orders without drops, and without the wait after failed ones, show what both are for.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from app.container import Container
from app.http.whole_pages.public_hits import kept_list
from app.services.content.posts import PostDraft
from app.services.feeds.kept_states import KeptStates
from app.services.feeds.page_context import PageContext
from app.services.feeds.page_windows import Window
from app.services.pages.home_pages import HomePages
from app.services.pages.kinds import Used
from app.services.pages.lost_drops import LostDrops
from app.services.pages.whole_pages import WholePage
from app.worker.running import relay_of
from config import Settings
from repositories.errors import Unavailable
from repositories.hot.embedded.cache import EmbeddedCache
from tests.apps import embedded, running
from tests.system.crowd import befriend, people, publish, watched, with_stores
from tests.unit.scheduler import Actor, Scheduler

pytestmark = pytest.mark.long
STEPS = {
    f"before {call}"
    for call in (
        *("documents.posts.add", "documents.posts.in_flight", "relational.feed_activity.reader_state"),
        *("cache.whole_beside", "cache.whole", "cache.lease", "cache.fill", "cache.drop"),
    )
}
PAGE = Window(limit=2)
Pause = Callable[[float], None]


class CacheLosingDrops(EmbeddedCache):
    """A cache that loses drops."""

    def drop(self, keys: Collection[str]) -> None: ...


class CacheWithoutWrites(EmbeddedCache):
    """A cache that this process cannot write to, but others can."""

    def drop(self, keys: Collection[str]) -> None:
        raise Unavailable("cache", f"{len(keys)} keys")

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        raise Unavailable("cache", f"{len(keys)} keys and {len(more)} bytes, {most} at most")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(3) as made:
        yield made


@pytest.fixture
def now() -> list[float]:
    return [time.time()]


@pytest.fixture
def container(tmp_path: Path, now: list[float]) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path) | {"home_top_entries": 3})) as system:
        cache = EmbeddedCache(f"sqlite:///{tmp_path}/quartet.db", clock=lambda: now[0])
        yield with_stores(system.container, cache=cache)
        cache.close()


class ReaderAndAuthor:
    """A reader who follows an author and has read, so that the next page needs no truth. `theirs` is the writer's."""

    def __init__(self, container: Container, scheduler: Scheduler, other_cache: EmbeddedCache, pause: Pause) -> None:
        def step(point: str) -> None:
            if point in STEPS or (self.writes and point == "before relational.transaction"):
                scheduler.step()

        def extended(point: str) -> None:
            if point == "before cache.extend":
                scheduler.step()

        self.writes = self.withdrawn = False
        self.promised: list[UUID] = []
        self.wrong: list[str] = []
        self.quick = 0
        stores, clock = container.stores, container.kit.clock
        steps = {
            "relational": watched(stores.relational, step, "relational"),
            "documents": watched(stores.documents, step, "documents"),
        }
        self.here = with_stores(container, **steps, cache=watched(stores.cache, step, "cache"))
        truth, cache, timelines = self.here.stores.relational, self.here.stores.cache, self.here.feeds.timelines
        states = KeptStates(truth, cache, timelines, clock, steady=0)
        self.pages = HomePages(timelines, cache, "", states)
        self.there = with_stores(container, **steps, cache=watched(other_cache, step, "cache"))
        self.there.pages.invalidation.lost = LostDrops(stores.relational, lambda: 0.0, pause)
        self.relay = with_stores(container, cache=watched(other_cache, extended, "cache"))
        self.reader, self.author = people(container, 2)
        befriend(container, [self.reader], [self.author])
        publish(container, self.author)
        relay_of(container).drain()
        while not self.quick:
            self.reads()

    def publishes(self) -> None:
        self.writes = True
        post = self.there.content.posts.publish(self.author, PostDraft("t", "b"))
        self.writes = False
        self.promised.append(post.id)
        relay_of(self.relay).drain()

    def unfollows(self) -> None:
        self.writes = True
        self.there.people.graph.unfollow(self.reader, self.author)
        self.writes, self.withdrawn = False, True
        relay_of(self.relay).drain()

    def reads(self) -> None:
        expected, none = set(self.promised), self.withdrawn
        found = self.pages.find(self.reader, PAGE)
        self.quick += found.look is None
        page = found.page or self.pages.make(self.reader, found, self._build)
        shown = {UUID(one) for one in json.loads(page.body)["items"]}
        if none and shown:
            self.wrong.append("shown after an unfollow")
        if not none and not self.withdrawn and not expected <= shown:
            self.wrong.append("not shown after its 201")

    def _build(self, look: PageContext, _used: Used) -> WholePage:
        timelines = self.here.feeds.timelines
        page = timelines.home(self.reader, PAGE, lambda refs: {r.post_id: r.post_id for r in refs}, look)
        return kept_list([json.dumps(str(one)).encode() for one in page.ids], None)


def outcomes(pair: Callable[[], ReaderAndAuthor], scheduler: Scheduler, *acts: str) -> Iterator[list[str]]:
    pairs: list[ReaderAndAuthor] = []

    def setting() -> list[Actor]:
        pairs.append(pair())
        return [getattr(pairs[-1], act) for act in acts]

    for order in scheduler.every_order(setting):
        found = pairs.pop()
        # Every read now sees everything that was answered.
        for _ in range(4):
            found.reads()
        yield [f"{order}: {what}" for what in found.wrong]


@pytest.fixture
def other_cache(request: pytest.FixtureRequest, container: Container, now: list[float]) -> Iterator[EmbeddedCache]:
    cache: EmbeddedCache = request.param(container.settings.cache_url, clock=lambda: now[0])
    yield cache
    cache.close()


def advancing(now: list[float]) -> Pause:
    def pause(seconds: float) -> None:
        now[0] += seconds

    return pause


@pytest.mark.parametrize(
    ("other_cache", "act"),
    [
        pytest.param(EmbeddedCache, "publishes", marks=pytest.mark.proof),
        pytest.param(CacheWithoutWrites, "publishes", marks=pytest.mark.proof),
        (EmbeddedCache, "unfollows"),
        (CacheWithoutWrites, "unfollows"),
    ],
    indirect=["other_cache"],
)
def test_no_interleaving_hides_a_post_or_shows_one_of_an_unfollowed_author(
    container: Container, scheduler: Scheduler, other_cache: EmbeddedCache, now: list[float], act: str
) -> None:
    orders = list(
        outcomes(lambda: ReaderAndAuthor(container, scheduler, other_cache, advancing(now)), scheduler, "reads", act)
    )
    assert len(orders) > 2
    assert [what for wrong in orders for what in wrong] == []


@pytest.mark.parametrize("other_cache", [CacheLosingDrops, CacheWithoutWrites], indirect=True)
def test_without_drops_or_waiting_some_interleavings_are_wrong(
    container: Container, scheduler: Scheduler, other_cache: EmbeddedCache
) -> None:
    pair = partial(ReaderAndAuthor, container, scheduler, other_cache, lambda _seconds: None)
    assert any(any(outcomes(pair, scheduler, "reads", act)) for act in ("publishes", "unfollows"))
