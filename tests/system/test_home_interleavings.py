"""A home feed is read while others post or follow and the relay works, in every order of their calls.

A read that begins after an answer must include what was answered, and so must every read in the end. The same orders
over a cache that loses additions to home tops show what these are for.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.container import Container
from app.services.content.posts import PostDraft
from app.services.feeds import page_windows
from app.services.feeds.page_windows import Window
from app.worker.running import relay_of
from config import Settings
from repositories.hot.embedded.cache import EmbeddedCache
from tests.apps import embedded, running
from tests.system.crowd import befriend, people, publish, watched, with_stores
from tests.unit.scheduler import Actor, Scheduler

pytestmark = pytest.mark.long
# Where actors pause: before each effect that others can see, and never inside a transaction.
STEPS = {
    f"before {call}"
    for call in (
        "documents.posts.add",
        "documents.posts.in_flight",
        "relational.feed_activity.reader_state",
        "feeds.home_page",
        "cache.read",
        "cache.lease",
        "cache.fill",
        "cache.extend",
    )
}
PAGE = Window(limit=2)


class CacheLosingAdditions(EmbeddedCache):
    """A cache that loses additions."""

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None: ...


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(3) as made:
        yield made


@pytest.fixture
def entries() -> int:
    """The number of entries in a home top."""
    return 3


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int) -> Iterator[Container]:
    """A system in which a home top of more than three entries is first filled with three."""
    monkeypatch.setattr(page_windows, "FEWEST", 3)
    with running(Settings(**embedded(tmp_path) | {"home_top_entries": entries})) as system:
        yield system.container


class ReaderAndAuthor:
    """One reader who follows one author. `wrong` collects the errors that reads have found."""

    def __init__(self, container: Container, scheduler: Scheduler, posts: int) -> None:
        def step(point: str) -> None:
            if point in STEPS or (self.writes and point == "before relational.transaction"):
                scheduler.step()

        self.withdrawn = self.writes = False
        self.promised: list[UUID] = []
        self.wrong: list[str] = []
        stores = container.stores
        self.plain = container
        self.stepping = with_stores(
            container,
            relational=watched(stores.relational, step, "relational"),
            documents=watched(stores.documents, step, "documents"),
            feeds=watched(stores.feeds, step, "feeds"),
            cache=watched(stores.cache, step, "cache"),
        )
        self.reader, self.author = people(container, 2)
        befriend(container, [self.reader], [self.author])
        for _ in range(posts):
            publish(container, self.author)
        relay_of(container).drain()
        self.last = self._shown(container)[-1] if posts > 1 else None

    def publishes(self) -> None:
        self.writes = True
        post = self.stepping.content.posts.publish(self.author, PostDraft("t", "b"))
        self.writes = False
        self.promised.append(post.id)
        relay_of(self.stepping).drain()

    def unfollows(self) -> None:
        self.writes = True
        self.stepping.people.graph.unfollow(self.reader, self.author)
        self.writes, self.withdrawn = False, True
        relay_of(self.stepping).drain()

    def reads(self) -> None:
        self._look(self.stepping)

    def reads_on(self) -> None:
        """Read below a first page, which makes the home top grow. Other reads check what it contains then."""
        timelines = self.stepping.feeds.timelines
        timelines.home(self.reader, Window(limit=2, before=self.last), lambda refs: {r.post_id: r for r in refs})

    def judge(self) -> None:
        self._look(self.plain)
        self._look(self.plain)

    def _look(self, container: Container) -> None:
        expected, none = set(self.promised), self.withdrawn
        shown = set(self._shown(container))
        if none and shown:
            self.wrong.append("shown after an unfollow")
        if not none and not self.withdrawn and not expected <= shown:
            self.wrong.append("not shown after its 201")

    def _shown(self, container: Container) -> tuple[UUID, ...]:
        return container.feeds.timelines.home(self.reader, PAGE, lambda refs: {r.post_id: r for r in refs}).ids


def outcomes(container: Container, scheduler: Scheduler, *acts: str, posts: int = 1) -> Iterator[list[str]]:
    pairs: list[ReaderAndAuthor] = []

    def setting() -> list[Actor]:
        pairs.append(ReaderAndAuthor(container, scheduler, posts))
        return [getattr(pairs[-1], act) for act in acts]

    for order in scheduler.every_order(setting):
        pair = pairs.pop()
        pair.judge()
        yield [f"{order}: {what}" for what in pair.wrong]


@pytest.mark.parametrize("acts", [("reads", "publishes"), ("reads", "unfollows")], ids="-".join)
def test_no_interleaving_hides_a_post_or_shows_one_of_an_unfollowed_author(
    container: Container, scheduler: Scheduler, acts: tuple[str, str]
) -> None:
    orders = list(outcomes(container, scheduler, *acts))
    assert len(orders) > 5
    assert [what for wrong in orders for what in wrong] == []


@pytest.mark.parametrize("entries", [9])
@pytest.mark.parametrize(
    "acts", [pytest.param(("reads_on", "publishes"), marks=pytest.mark.proof), ("reads_on", "unfollows")], ids="-".join
)
def test_no_interleaving_does_so_while_a_top_grows(
    container: Container, scheduler: Scheduler, acts: tuple[str, str]
) -> None:
    orders = list(outcomes(container, scheduler, *acts, posts=6))
    assert len(orders) > 5
    assert [what for wrong in orders for what in wrong] == []


def test_without_additions_some_interleavings_are_wrong(
    container: Container, scheduler: Scheduler, tmp_path: Path
) -> None:
    deaf = CacheLosingAdditions(f"sqlite:///{tmp_path}/quartet.db")
    lossy: Callable[[], Iterator[list[str]]] = lambda: outcomes(  # noqa: E731 - a name for it
        with_stores(container, cache=deaf), scheduler, "reads", "publishes"
    )
    assert any(lossy())
    deaf.close()
