"""A source, a cache in front of it, and actors that read and write. Each actor pauses before every call of a store."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kind, Used
from app.services.pages.loading import Limit
from app.services.pages.read_through import ReadThrough
from app.services.pages.whole_pages import WholePage, WholePages
from app.services.pages.write_through import WriteThrough
from repositories.hot import Cache, Fill, Held, Value
from repositories.hot.encoding import LEASE_SECONDS
from tests.unit.scheduler import Actor

KEY = "thing"
PAGE = "/page"
FRESH, STALE = 100.0, 50.0
NEVER, ALWAYS = 0.0, 1 - 1e-12


class CacheWithoutLeases(Cache):
    """A cache without leases and generations: only get, set, delete, and a time to live."""

    def __init__(self, now: list[float]) -> None:
        self._now = now
        self._values: dict[str, tuple[Value, float]] = {}

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        kept = [self._values.get(key) for key in keys]
        return [Held(one[0], one[1] - self._now[0], b"stamp") if one else None for one in kept]

    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        return self.read([key])[0]

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

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        pass

    def void(self, *, unless_done: bool = False) -> None:
        self._values.clear()

    def outwait(self) -> None:
        pass

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return []

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass


class PausingCache:
    """The cache as an actor uses it: it pauses before each call."""

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
    """A source with one versioned value, the cache in front of it, and the errors that readers have found."""

    cache: Cache
    step: Callable[[], None]
    now: list[float]
    version: int = 1
    answered: int = 1
    loads: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = Kind("thing", "1", self._load, fresh=FRESH, stale=STALE)
        self.other = Kind("beside", "1", lambda ids: {about: Value(b"{}") for about in ids}, fresh=FRESH)

    def through(self, luck: float = NEVER, patience: float = 0.002) -> ReadThrough:
        """The read-through of another process. Its clock only counts its own waits; its patience allows one wait."""
        waited = [0.0]

        def pause(seconds: float) -> None:
            waited[0] += seconds

        return ReadThrough(
            PausingCache(self.cache, self.step),  # type: ignore[arg-type]  # every call goes on to a cache
            Limit(8, timedelta(seconds=1)),
            patience=timedelta(seconds=patience),
            beta=1e12,
            random=lambda: luck,
            clock=lambda: waited[0],
            pause=pause,
        )

    def keep(self, cost: float = 1.0, age: float = 0.0) -> None:
        """Put the current version into the cache, `age` seconds old."""
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

    def page_reader(self) -> Actor:
        """Reads a page, which consists of one part and something that does not change; builds it if necessary."""
        through, pages = self.through(), WholePages(PausingCache(self.cache, self.step))  # type: ignore[arg-type]  # as above

        def build(used: Used) -> WholePage:
            found = through.multi_get({self.kind: [KEY], self.other: [KEY]}, used)
            return WholePage(b"page", "", found[self.kind][KEY].version)

        def read() -> None:
            answered = self.answered
            found = (pages.look(PAGE) or pages.keep(PAGE, build)).version
            if found < answered:
                self.wrong.append(f"page {found} after the answer to {answered}")

        return read

    def page_looker(self) -> Actor:
        """Reads a kept page, without building one."""
        pages = WholePages(PausingCache(self.cache, self.step))  # type: ignore[arg-type]  # every call goes on to a cache

        def look() -> None:
            answered = self.answered
            found = pages.look(PAGE)
            if found and found.version < answered:
                self.wrong.append(f"page {found.version} after the answer to {answered}")

        return look

    def writer(self, *, dies: bool = False) -> Actor:
        """Writes and then drops the key. One that dies in between leaves the drop to its event, dispatched twice."""
        invalidation = self._invalidation()

        def write() -> None:
            mine = self._commit()
            if dies:
                invalidation.drop([self.kind.key(KEY)])
            invalidation.drop([self.kind.key(KEY)])
            self.answered = max(self.answered, mine)

        return write

    def write_through(self) -> Actor:
        unused: Any = None
        through = WriteThrough(PausingCache(self.cache, self.step), unused, self._invalidation())  # type: ignore[arg-type]

        def committed() -> Value:
            mine = self._commit()
            return Value(str(mine).encode(), mine)

        def write() -> None:
            mine = through.store(self.kind, KEY, committed).version
            self.answered = max(self.answered, mine)

        return write

    def slow_loader(self) -> Actor:
        """A loader that has held its lease for so long that others take it over."""
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
        """After all actors have ended: check that the cache and the next reader have the current version."""
        [held] = self.cache.read([self.kind.key(KEY)])
        if held and held.value.version != self.version:
            self.wrong.append(f"{held.value.version} stays cached, the source has {self.version}")
        if self.through().get(self.kind, [KEY])[KEY].version != self.version:
            self.wrong.append("the next reader gets an old version")
        kept = WholePages(self.cache).look(PAGE)
        if kept and kept.version != self.version:
            self.wrong.append(f"page {kept.version} stays, the source has {self.version}")

    def _invalidation(self) -> Invalidation:
        """The invalidation, for `drop` only: the other collaborators are unused."""
        unused: Any = None
        stepped: Any = PausingCache(self.cache, self.step)
        return Invalidation(stepped, unused, unused, unused, unused)

    def _commit(self) -> int:
        self.step()
        self.version += 1
        return self.version

    def _load(self, ids: Collection[str]) -> dict[str, Value]:
        self.step()
        self.loads += 1
        return {about: Value(str(self.version).encode(), self.version) for about in ids}
