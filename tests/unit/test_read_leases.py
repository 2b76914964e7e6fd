"""Read leases: pages in the memory of processes, in every order of clock readings and of a writer's steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from repositories.hot import Fill, Held, Value
from repositories.hot.embedded.cache import EmbeddedCache
from repositories.hot.redis.read_leases import BYTES, EACH, HOT_SECONDS, TERM, WAIT, Near
from tests.unit.scheduler import Actor, Scheduler

PAGE, PART = "page", "part"


class World:
    """A page with one part, and processes that have it in memory. Waits and `later` advance `now`."""

    def __init__(self, store: EmbeddedCache, scheduler: Scheduler, wait: float) -> None:
        self.store = store
        self.step = scheduler.step
        self.wait = wait
        self.now = 100.0
        self.version = self.answered = 1
        self.wrong: list[str] = []
        store.void()
        self.fill(PART)
        self.fill(PAGE)

    def fill(self, key: str) -> None:
        [mine] = self.store.lease({key: b""})
        assert isinstance(mine, bytes)
        [part] = self.store.read([PART])
        parts = {PART: part.stamp} if part else {}
        self.store.fill({key: Fill(mine, Value(b"body", self.version), 60, parts=parts)})

    def near(self) -> Near:
        return Near(self._clock, self._pause)

    def reader(self, looks: int = 3) -> Actor:
        near = self.near()
        for _ in range(2):
            near.get(PAGE, self._ask)

        def read() -> None:
            for _ in range(looks):
                answered = self.answered
                found = near.get(PAGE, self._ask)
                if found and found.value.version < answered:
                    self.wrong.append(f"page {found.value.version} after the answer to {answered}")

        return read

    def writer(self) -> Actor:
        near = self.near()

        def write() -> None:
            self.step()
            self.version += 1
            mine = self.version
            self.step()
            self.store.drop([PART])
            near.outwait()
            self.answered = mine

        return write

    def filler(self) -> Actor:
        """Builds the page again once it has been dropped."""

        def fill() -> None:
            self.step()
            if self.store.whole(PAGE) is None:
                self.fill(PART)
                self.fill(PAGE)

        return fill

    def later(self) -> None:
        """An actor that advances the time."""
        for part in (0.45, 0.6):
            self.step()
            self.now += TERM * part

    def _ask(self, _read_lease: bool) -> Held | None:  # noqa: FBT001  as `Near` calls it
        self.step()
        held = self.store.whole(PAGE)
        self.step()
        return held

    def _clock(self) -> float:
        self.step()
        return self.now

    def _pause(self, seconds: float) -> None:
        self.step()
        self.now += seconds * self.wait
        self.step()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedCache]:
    cache = EmbeddedCache(f"sqlite:///{tmp_path}/hot.db")
    cache.migrate()
    yield cache
    cache.close()


def wrong_answers(store: EmbeddedCache, scene: str, wait: float) -> Iterator[str]:
    worlds: list[World] = []
    with Scheduler(4) as scheduler:

        def setting() -> list[Actor]:
            worlds.append(World(store, scheduler, wait))
            world = worlds[-1]
            actors = {
                "one reader": lambda: [world.reader(), world.writer()],
                "time passes": lambda: [world.reader(2), world.writer(), world.later],
                "made anew": lambda: [world.reader(1), world.writer(), world.filler()],
            }
            return actors[scene]()

        for order in scheduler.every_order(setting):
            yield from (f"{order}: {what}" for what in worlds.pop().wrong)


SCENES = ["one reader", "time passes", "made anew"]


@pytest.mark.parametrize(
    "scene", [pytest.param(s, marks=[pytest.mark.long] if s == "time passes" else []) for s in SCENES]
)
def test_no_old_page_is_served_after_a_writers_answer(store: EmbeddedCache, scene: str) -> None:
    assert list(wrong_answers(store, scene, wait=1)) == []


@pytest.mark.parametrize("scene", SCENES)
def test_some_would_be_if_the_writer_did_not_wait(store: EmbeddedCache, scene: str) -> None:
    assert any(wrong_answers(store, scene, wait=0))


class Asked:
    """A store that always has the page, and records whether a read lease was requested."""

    def __init__(self, body: bytes = b"body") -> None:
        self.now = 100.0
        self.leased: list[bool] = []
        self.held: Held | None = Held(Value(body), 60.0, b"stamp")
        self.waited: list[float] = []
        self.near = Near(lambda: self.now, self.waited.append)

    def look(self, key: str = PAGE) -> Held | None:
        return self.near.get(key, self._ask)

    def _ask(self, read_lease: bool) -> Held | None:  # noqa: FBT001  as `Near` calls it
        self.leased.append(read_lease)
        return self.held


def test_a_page_read_twice_soon_gets_a_read_lease_and_is_answered_from_memory() -> None:
    asked = Asked()
    for _ in range(50):
        assert asked.look() is asked.held
    assert asked.leased == [False, True]


def test_a_page_read_now_and_then_gets_no_read_lease() -> None:
    asked = Asked()
    for _ in range(10):
        asked.look()
        asked.now += 2 * HOT_SECONDS
    assert asked.leased == [False] * 10


def test_one_thread_renews_a_read_lease_early_while_others_use_the_page() -> None:
    asked, meanwhile = Asked(), list[Held | None]()
    asked.look()
    asked.look()
    asked.now += TERM / 2

    def answer(_read_lease: bool) -> Held | None:  # noqa: FBT001  as `Near` calls it
        meanwhile.append(asked.look())
        return asked.held

    asked.near.get(PAGE, answer)
    assert meanwhile == [asked.held]
    assert asked.leased == [False, True]


def test_an_expired_read_lease_is_asked_for_again() -> None:
    asked = Asked()
    asked.look()
    asked.look()
    asked.now += TERM
    asked.look()
    assert asked.leased == [False, True, True]


def test_a_page_that_has_ended_is_not_remembered() -> None:
    asked = Asked()
    asked.look()
    asked.look()
    asked.now += TERM
    asked.held = None
    assert asked.look() is None
    assert asked.look() is None
    assert asked.leased == [False, True, True, False]


def test_outwait_exceeds_the_term_and_empties_the_memory() -> None:
    asked = Asked()
    asked.look()
    asked.look()
    asked.near.outwait()
    assert asked.waited == [WAIT]
    assert WAIT > TERM
    asked.look()
    assert asked.leased == [False, True, False]


def test_memory_is_bounded() -> None:
    asked = Asked(bytes(EACH))
    for n in range(BYTES // EACH):
        asked.look(f"{PAGE} {n}")
    assert len(asked.near._pages) <= BYTES // EACH // 2
    asked.look(f"{PAGE} 0")
