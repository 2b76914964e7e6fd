"""Readers that fill and writers that invalidate the cache, paused at every store call and run in every order.

A read that begins after a write was answered must return what was written, and nothing older may stay in the cache. The
same orders over a cache without leases and generations show what these prevent.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repositories.hot import Cache, Held
from repositories.hot.embedded.cache import EmbeddedCache
from tests.unit.cache_world import ALWAYS, FRESH, CacheWithoutLeases, World
from tests.unit.scheduler import Actor, Scheduler

Scene = Callable[[World], list[Actor]]


def cold(world: World) -> list[Actor]:
    return [world.reader(), world.reader(), world.writer()]


def two_writers(world: World) -> list[Actor]:
    return [world.reader(), world.writer(), world.writer()]


def a_writer_dies(world: World) -> list[Actor]:
    return [world.reader(), world.writer(dies=True)]


def renewed_early(world: World) -> list[Actor]:
    world.keep()
    return [world.reader(ALWAYS), world.reader(), world.writer()]


def served_stale(world: World) -> list[Actor]:
    world.keep(age=FRESH * 1.2)
    return [world.reader(), world.reader(), world.writer()]


def stale_and_two_writers(world: World) -> list[Actor]:
    world.keep(age=FRESH * 1.2)
    return [world.reader(), world.writer(), world.writer()]


def taken_over(world: World) -> list[Actor]:
    return [world.slow_loader(), world.reader(), world.writer()]


def written_through(world: World) -> list[Actor]:
    world.keep()
    return [world.reader(), world.write_through(), world.writer()]


def written_through_beside_a_loader(world: World) -> list[Actor]:
    return [world.reader(), world.write_through()]


def written_through_twice(world: World) -> list[Actor]:
    return [world.write_through(), world.write_through()]


def page_of_a_cold_part(world: World) -> list[Actor]:
    return [world.page_reader(), world.writer()]


def page_of_a_part_that_is_there(world: World) -> list[Actor]:
    world.keep()
    return [world.page_reader(), world.writer()]


def page_looked_for_by_another(world: World) -> list[Actor]:
    world.keep()
    return [world.page_reader(), world.page_looker(), world.writer()]


def page_that_is_kept(world: World) -> list[Actor]:
    world.keep()
    world.page_reader()()
    return [world.page_reader(), world.writer()]


def page_written_through(world: World) -> list[Actor]:
    world.keep()
    return [world.page_reader(), world.write_through()]


PAGES = [
    page_of_a_cold_part,
    page_of_a_part_that_is_there,
    page_looked_for_by_another,
    page_that_is_kept,
    page_written_through,
]
SCENES = [
    *PAGES,
    cold,
    two_writers,
    a_writer_dies,
    renewed_early,
    served_stale,
    stale_and_two_writers,
    taken_over,
    written_through,
    written_through_beside_a_loader,
    written_through_twice,
]
# These scenes have hundreds or thousands of orders.
LONG = [cold, served_stale, stale_and_two_writers, renewed_early, taken_over, written_through, page_written_through]


@pytest.fixture(scope="module")
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture(scope="module")
def cache_with_leases(tmp_path_factory: pytest.TempPathFactory, now: list[float]) -> Iterator[Cache]:
    path = tmp_path_factory.mktemp("fenced") / "hot.db"
    cache = EmbeddedCache(f"sqlite:///{path}", clock=lambda: now[0])
    cache.migrate()
    yield cache
    cache.close()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(4) as made:
        yield made


def outcomes(scene: Scene, cache: Cache, scheduler: Scheduler, now: list[float]) -> Iterator[list[str]]:
    """The errors found, for each order in turn."""
    worlds: list[World] = []

    def setting() -> list[Actor]:
        cache.void()
        worlds.append(World(cache, scheduler.step, now))
        return scene(worlds[-1])

    for order in scheduler.every_order(setting):
        world = worlds.pop()
        world.judge()
        yield [f"{order}: {what}" for what in world.wrong]


@pytest.mark.parametrize(
    "scene",
    [pytest.param(s, id=s.__name__, marks=[pytest.mark.long] if s in LONG else []) for s in SCENES],
)
def test_no_order_leaves_or_serves_an_old_value(
    scene: Scene, cache_with_leases: Cache, scheduler: Scheduler, now: list[float]
) -> None:
    orders = list(outcomes(scene, cache_with_leases, scheduler, now))
    assert len(orders) > 2
    assert [what for wrong in orders for what in wrong] == []


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_without_generations_some_orders_do(scene: Scene, scheduler: Scheduler, now: list[float]) -> None:
    assert any(outcomes(scene, CacheWithoutLeases(now), scheduler, now))


class CacheWithoutStampChecks(EmbeddedCache):
    """A cache that returns whole pages without comparing the stamps of their fragments."""

    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        return self.read([key])[0]


@pytest.mark.parametrize("scene", PAGES, ids=lambda scene: scene.__name__)
def test_without_checking_the_parts_old_pages_stay(
    scene: Scene, tmp_path: Path, scheduler: Scheduler, now: list[float]
) -> None:
    cache = CacheWithoutStampChecks(f"sqlite:///{tmp_path}/hot.db", clock=lambda: now[0])
    cache.migrate()
    assert any(outcomes(scene, cache, scheduler, now))
    cache.close()
