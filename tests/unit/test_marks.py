"""The cached marks of an account (likes and follows), with concurrent writers in every order, and the cases that are
left to the relational store.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.ids import lowest_id
from app.services.pages.marks import LIKED, MOST, Marks, follows_key, likes_key
from repositories.hot import Cache
from repositories.hot.embedded.cache import EmbeddedCache
from repositories.records.graph import Edge, Like
from tests.unit.cache_world import CacheWithoutLeases, PausingCache
from tests.unit.scheduler import Actor, Scheduler

NOW = datetime(2031, 5, 17, tzinfo=UTC)
ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
POST, EARLIER = lowest_id(NOW), lowest_id(NOW - timedelta(days=1))
OLD = lowest_id(NOW - LIKED)


class Truth:
    """Stands for the relational store's likes and follows. `likes` and `graph` are the object itself."""

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self._step = step
        self.liked: set[UUID] = set()
        self.followed: set[UUID] = set()
        self.loads = 0
        self.likes = self.graph = self

    def of_account(self, _account: UUID, *, after: UUID, limit: int) -> list[Like]:
        self._load()
        return [Like(ACCOUNT, one, NOW) for one in sorted(self.liked) if one > after][:limit]

    def following(self, _account: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        self._load()
        return [Edge(one, NOW) for one in sorted(self.followed)][:limit]

    def _load(self) -> None:
        self._step()
        self.loads += 1


class World:
    def __init__(self, cache: Cache, step: Callable[[], None] = lambda: None) -> None:
        self.cache: Any = PausingCache(cache, step)
        self.step = step
        self.truth: Any = Truth(step)
        # The number of writes that have been answered.
        self.answered = 0
        self.wrong: list[str] = []

    def among(self, posts: Collection[UUID] = (POST,)) -> tuple[set[UUID], set[UUID]] | None:
        """Ask as another process."""
        return Marks(self.truth, self.cache, lambda: NOW, 60).among(ACCOUNT, posts, [OTHER])

    def reader(self) -> Actor:
        def read() -> None:
            answered = self.answered
            found = self.among()
            if found and sum(map(len, found)) < answered:
                self.wrong.append(f"{found} after the answer to {answered}")

        return read

    def writer(self) -> Actor:
        """Likes a post and then follows an account. Each key is dropped after the commit, before the answer."""

        def write() -> None:
            for marked, key, what in (
                (self.truth.liked, likes_key(ACCOUNT), POST),
                (self.truth.followed, follows_key(ACCOUNT), OTHER),
            ):
                self.step()
                marked.add(what)
                self.cache.drop([key])
                self.answered += 1

        return write

    def judge(self) -> None:
        if self.among() not in (None, ({POST}, {OTHER})):
            self.wrong.append("the next reader gets what was")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    made = EmbeddedCache(f"sqlite:///{tmp_path_factory.mktemp('marks') / 'hot.db'}", clock=lambda: 1_000_000.0)
    made.migrate()
    yield made
    made.close()


def outcomes(cache: Cache) -> Iterator[list[str]]:
    worlds: list[World] = []
    with Scheduler(2) as scheduler:

        def setting() -> list[Actor]:
            cache.void()
            worlds.append(World(cache, scheduler.step))
            return [worlds[-1].reader(), worlds[-1].writer()]

        for _ in scheduler.every_order(setting):
            worlds[-1].judge()
            yield worlds[-1].wrong


def test_no_order_shows_marks_from_before_an_answered_write(cache: Cache) -> None:
    found = list(outcomes(cache))
    assert len(found) > 100
    assert [what for wrong in found for what in wrong] == []


def test_without_generations_some_orders_do() -> None:
    assert any(outcomes(CacheWithoutLeases([1_000_000.0])))


def test_kept_marks_are_not_loaded_again(cache: Cache) -> None:
    world = World(cache)
    world.truth.liked = {POST, OLD}
    assert world.among([POST, EARLIER]) == ({POST}, set())
    assert world.among([EARLIER]) == (set(), set())
    assert world.truth.loads == 2


def test_older_posts_are_left_to_the_truth(cache: Cache) -> None:
    world = World(cache)
    assert world.among([POST, OLD]) is None
    assert world.truth.loads == 0


@pytest.mark.parametrize("of", ["liked", "followed"])
def test_accounts_with_many_marks_are_left_to_the_truth(cache: Cache, of: str) -> None:
    world = World(cache)
    many = {UUID(int=POST.int + n) for n in range(MOST + 1)}
    setattr(world.truth, of, many)
    for _ in range(2):
        assert world.among() is None
    assert world.truth.loads == 2
    many.pop()
    world.cache.drop([likes_key(ACCOUNT), follows_key(ACCOUNT)])
    assert world.among() is not None


def test_ids_are_compared_only_at_their_boundaries(cache: Cache) -> None:
    """The bytes of an id may also occur across two neighbouring ids, which is no match."""
    world = World(cache)
    world.truth.followed = {UUID(int=5), UUID(int=6)}
    across = (UUID(int=5).bytes + UUID(int=6).bytes)[8:24]
    found = Marks(world.truth, world.cache, lambda: NOW, 60).among(ACCOUNT, [POST], [UUID(bytes=across)])
    assert found == (set(), set())
