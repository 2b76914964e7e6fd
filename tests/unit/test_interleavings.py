"""Readers that fill and writers that invalidate, stopped at every store call, in every order.

Whoever begins to read after a write was answered must get what it wrote, and nothing older may stay in the cache.
The same orders over a cache without leases and generations show what these are for.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from repositories.hot import Cache, Fill, Held, Value
from repositories.hot.embedded import EmbeddedCache
from repositories.hot.encoding import LEASE_SECONDS
from repositories.readthrough import Kind, Limit, Means, ReadThrough
from tests.unit.scheduler import Actor, Scheduler

KEY = "thing"
FRESH, STALE = 100.0, 50.0
NEVER, ALWAYS = 0.0, 1 - 1e-12


class Fenceless(Cache):
    """What caches mostly are: get, set, delete, and a time to live."""

    def __init__(self, now: list[float]) -> None:
        self._now = now
        self._values: dict[str, tuple[Value, float]] = {}

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        kept = [self._values.get(key) for key in keys]
        return [Held(one[0], one[1] - self._now[0], b"stamp") if one else None for one in kept]

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        return [b"lease" for _ in seen]

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        self._values.update({key: (fill.value, self._now[0] + fill.fresh) for key, fill in fills.items()})
        return set(fills)

    def release(self, leases: Mapping[str, bytes]) -> None:
        pass

    def drop(self, keys: Collection[str]) -> None:
        for key in keys:
            self._values.pop(key, None)

    def void(self, *, unless_done: bool = False) -> None:
        self._values.clear()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return []

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass


class Stepped:
    """The cache as an actor has it: it stands still before each call."""

    def __init__(self, cache: Cache, step: Callable[[], None]) -> None:
        self._cache = cache
        self._step = step

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            self._step()
            return getattr(self._cache, name)(*arguments)

        return call


@dataclass
class World:
    """A source with one thing of which only the version matters, the cache before it, and what readers got wrong."""

    cache: Cache
    step: Callable[[], None]
    now: list[float]
    version: int = 1
    answered: int = 1
    loads: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = Kind("thing", "1", self._load, fresh=FRESH, stale=STALE)

    def through(self, luck: float = NEVER, patience: float = 0.002) -> ReadThrough:
        """Another process's. All it knows of time is how long it has waited; its patience is for one wait."""
        waited = [0.0]

        def pause(seconds: float) -> None:
            waited[0] += seconds

        return ReadThrough(
            Means(
                Stepped(self.cache, self.step),  # type: ignore[arg-type]  # every call goes on to a cache
                Limit(8, timedelta(seconds=1)),
                patience=timedelta(seconds=patience),
                beta=1e12,
                random=lambda: luck,
                clock=lambda: waited[0],
                pause=pause,
            )
        )

    def keep(self, cost: float = 1.0, age: float = 0.0) -> None:
        """Have the present version in the cache, `age` seconds old."""
        key = self.kind.key(KEY)
        self.cache.drop([key])
        [mine] = self.cache.lease({key: b""})
        assert isinstance(mine, bytes)
        self.cache.fill({key: Fill(mine, Value(b"1", 1, cost=cost), FRESH, STALE)})
        self.now[0] += age

    def reader(self, luck: float = NEVER) -> Actor:
        through = self.through(luck)

        def read() -> None:
            answered = self.answered
            found = through.get(self.kind, [KEY])[KEY].version
            if found < answered:
                self.wrong.append(f"read {found} after the answer to {answered}")

        return read

    def writer(self, *, dies: bool = False) -> Actor:
        """Writes and drops. One that dies in between leaves the drop to the event, which is told twice."""
        through = self.through()

        def write() -> None:
            mine = self._commit()
            if dies:
                through.drop({self.kind: [KEY]})
            through.drop({self.kind: [KEY]})
            self.answered = max(self.answered, mine)

        return write

    def write_through(self) -> Actor:
        through = self.through()

        def committed() -> Value:
            mine = self._commit()
            return Value(str(mine).encode(), mine)

        def write() -> None:
            mine = through.write(self.kind, KEY, committed).version
            self.answered = max(self.answered, mine)

        return write

    def slow_loader(self) -> Actor:
        """Somebody who has had the lease for so long that others take it over."""
        key = self.kind.key(KEY)
        [mine] = self.cache.lease({key: b""})
        assert isinstance(mine, bytes)
        self.now[0] += LEASE_SECONDS

        def load() -> None:
            value = self._load([KEY])[KEY]
            self.step()
            self.cache.fill({key: Fill(mine, value, FRESH, STALE)})

        return load

    def judge(self) -> None:
        """At rest: what is cached is the present version, and so is what the next reader gets."""
        [held] = self.cache.read([self.kind.key(KEY)])
        if held and held.value.version != self.version:
            self.wrong.append(f"{held.value.version} stays cached, the source has {self.version}")
        if self.through().get(self.kind, [KEY])[KEY].version != self.version:
            self.wrong.append("the next reader gets an old version")

    def _commit(self) -> int:
        self.step()
        self.version += 1
        return self.version

    def _load(self, ids: Collection[str]) -> dict[str, Value]:
        self.step()
        self.loads += 1
        return {about: Value(str(self.version).encode(), self.version) for about in ids}


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


SCENES = [
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


@pytest.fixture(scope="module")
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory, now: list[float]) -> Iterator[Cache]:
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
    """What went wrong, for each order in turn."""
    worlds: list[World] = []

    def setting() -> list[Actor]:
        cache.void()
        worlds.append(World(cache, scheduler.step, now))
        return scene(worlds[-1])

    for order in scheduler.every_order(setting):
        world = worlds.pop()
        world.judge()
        yield [f"{order}: {what}" for what in world.wrong]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_order_leaves_or_serves_an_old_value(
    scene: Scene, fenced: Cache, scheduler: Scheduler, now: list[float]
) -> None:
    orders = list(outcomes(scene, fenced, scheduler, now))
    assert len(orders) > 30
    assert [what for wrong in orders for what in wrong] == []


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_without_the_fence_some_do(scene: Scene, scheduler: Scheduler, now: list[float]) -> None:
    assert any(outcomes(scene, Fenceless(now), scheduler, now))
