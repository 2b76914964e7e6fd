"""Cache-aside: cached values are read in one multi-get; missing ones are loaded from their source and stored.

The cache is never the truth: if it does not answer, reads go to the sources, within a limit.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from app.services.pages.kinds import Kind, Used
from app.services.pages.loading import Flights, Limit, is_due
from repositories.deadline import at_most
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value
from repositories.meter import CacheKind, cache_event
from repositories.read_your_writes import primary

log = logging.getLogger(__name__)
K = TypeVar("K")
T = TypeVar("T")
Wanted = Mapping[Kind[Any], Collection[Any]]
Found = dict[Kind[Any], dict[Any, Value]]
Refs = Mapping[str, tuple[Kind[Any], Any]]
ABSENT = Value(None)
LOADS, PATIENCE = 64, timedelta(seconds=2)
FIRST_STEP, LONGEST_STEP = 0.002, 0.05


@dataclass(frozen=True)
class ReadThrough:
    """The only way in which a process reads `Kind`s. `patience` is how long a request waits for another's load."""

    cache: Cache
    limit: Limit = field(default_factory=lambda: Limit(LOADS, PATIENCE))
    patience: timedelta = PATIENCE
    beta: float = 1.0
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    flights: Flights = field(default_factory=Flights)

    def get(self, kind: Kind[K], ids: Collection[K], used: Used | None = None) -> dict[K, Value]:
        """`multi_get` of a single kind."""
        found: dict[K, Value] = self.multi_get({kind: ids}, used)[kind]
        return found

    def multi_get(self, wanted: Wanted, used: Used | None = None) -> Found:
        """The wanted things that exist; each value has a body. Raises what a source raises.

        Takes one cache read if everything is cached and fresh. Otherwise one more for the leases, one load for each
        kind with misses, one fill, and a bounded wait for what others are loading. `used` records each value.
        """
        refs = {kind.key(about): (kind, about) for kind, ids in wanted.items() for about in ids}
        answer: Found = {kind: {} for kind in wanted}
        if refs:
            reading = MultiGet(self, refs)
            values = reading.run()
            if used is not None:
                reading.note(used)
            for key, (kind, about) in refs.items():
                if values[key].body is not None:
                    answer[kind][about] = values[key]
        return answer


class CacheAway(Exception):
    """The cache does not answer: reads go on without it. An outage of a source, in contrast, is raised."""


class MultiGet:
    """Reads cached values, loads those that are missing or due and not being loaded yet, and waits for the others.

    A request that holds leases loads before it waits, so that no two requests wait for each other.
    """

    def __init__(self, through: ReadThrough, refs: Refs) -> None:
        self._through = through
        self._refs = refs
        self._deadline = through.clock() + at_most(through.patience.total_seconds())
        self._outcomes: dict[str, CacheKind] = {}
        # For each found value that is stored unchanged: its stamp, and the seconds until it is due.
        self._stored: dict[str, tuple[bytes, float]] = {}
        self.found: dict[str, Value] = {}

    def run(self) -> dict[str, Value]:
        """A value for each key; it has no body if the thing does not exist. Raises what a source raises."""
        missing = list(self._refs)
        try:
            while missing and self._left() > 0:
                self._round(missing)
                missing = self._missing(missing)
        except CacheAway:
            missing = self._missing(missing)
            cache_event("error", len(missing))
        for kind, keys in self._by_kind(missing):
            self.found.update(self._load(kind, keys))
        self._report()
        return self.found

    def note(self, used: Used) -> None:
        """Record in `used` what the answer was made of."""
        for key in self._refs:
            used.note(key, *self._stored.get(key, (None, 0.0)))

    def _round(self, keys: Sequence[str]) -> None:
        due = self._read(keys)
        if not due:
            return
        mine, theirs = self._through.flights.claim(due)
        try:
            self._renew({key: due[key] for key in mine})
        finally:
            self._through.flights.land(mine)
        for key in self._missing(theirs):
            _wait(theirs[key], self._left())

    def _read(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Take the stored values. Returns the keys to be renewed, each with the stamp of the value seen."""
        due: dict[str, bytes] = {}
        for key, held in zip(keys, self._ask(lambda cache: cache.read(keys)), strict=True):
            if held is None:
                due[key] = b""
                self._outcomes[key] = "miss"
                continue
            self._take(key, held)
            self._outcomes.setdefault(key, "hit" if held.left > 0 else "stale")
            if is_due(held, self._through.random(), self._through.beta):
                due[key] = held.stamp
        return due

    def _take(self, key: str, held: Held) -> None:
        self.found[key] = held.value
        self._stored[key] = held.stamp, held.left

    def _renew(self, seen: dict[str, bytes]) -> None:
        """Load the keys for which leases are granted. Wait for the loads of others only where no value was found."""
        step = FIRST_STEP
        while seen:
            leases = self._lease(seen)
            if leases:
                self._load_under(leases)
            seen = dict.fromkeys(self._missing(seen), b"")
            if not seen or self._left() <= 0:
                return
            self._through.pause(step)
            step = min(2 * step, LONGEST_STEP)

    def _lease(self, seen: Mapping[str, bytes]) -> dict[str, bytes]:
        leases: dict[str, bytes] = {}
        for key, answer in zip(seen, self._ask(lambda cache: cache.lease(seen)), strict=True):
            if isinstance(answer, Held):
                self._take(key, answer)
            elif answer is not None:
                leases[key] = answer
        return leases

    def _load_under(self, leases: Mapping[str, bytes]) -> None:
        loaded: dict[str, Value] = {}
        filled: set[str] = set()
        try:
            for kind, keys in self._by_kind(leases):
                try:
                    loaded.update(self._load(kind, keys))
                except Unavailable:
                    if self._missing(keys):
                        raise
        finally:
            filled = self._settle(leases, loaded)
        self.found.update(loaded)
        for key in loaded.keys() - filled:
            self._stored.pop(key, None)
        for key in loaded:
            self._outcomes[key] = "miss" if self._outcomes[key] == "miss" else "refresh"

    def _settle(self, leases: Mapping[str, bytes], loaded: Mapping[str, Value]) -> set[str]:
        """End each lease, with its value or without one, so that another may load. Returns the keys that are stored."""
        fills = {key: fill for key, value in loaded.items() if (fill := self._fill(key, leases[key], value))}
        gone = loaded.keys() - fills.keys()
        idle = {key: lease for key, lease in leases.items() if key not in loaded}
        cache, stored = self._through.cache, set[str]()
        try:
            if fills:
                stored = cache.fill(fills)
                self._stored.update({key: (leases[key], fills[key].fresh) for key in stored})
            if len(stored) < len(fills):
                cache_event("refused", len(fills) - len(stored))
            if gone:
                cache.drop(gone)
            if idle:
                cache.release(idle)
        except Unavailable as error:
            log.warning("cache not filled: %s", error)
        return stored

    def _fill(self, key: str, lease: bytes, value: Value) -> Fill | None:
        kind = self._refs[key][0]
        if value.body is not None:
            return Fill(lease, value, kind.fresh, kind.stale)
        return Fill(lease, value, kind.absent) if kind.absent else None

    def _load(self, kind: Kind[Any], keys: Collection[str]) -> dict[str, Value]:
        """A value for each key, from the source, in one round trip."""
        ids = {key: self._refs[key][1] for key in keys}
        with self._through.limit:
            began = self._through.clock()
            with primary():
                loaded = kind.load(list(ids.values()))
            cost = self._through.clock() - began
        cache_event("load")
        return {key: replace(loaded.get(about, ABSENT), cost=cost) for key, about in ids.items()}

    def _by_kind(self, keys: Collection[str]) -> list[tuple[Kind[Any], list[str]]]:
        kinds: dict[Kind[Any], list[str]] = {}
        for key in keys:
            kinds.setdefault(self._refs[key][0], []).append(key)
        return list(kinds.items())

    def _missing(self, keys: Collection[str]) -> list[str]:
        return [key for key in keys if key not in self.found]

    def _left(self) -> float:
        return self._deadline - self._through.clock()

    def _ask(self, call: Callable[[Cache], T]) -> T:
        try:
            return call(self._through.cache)
        except Unavailable as error:
            raise CacheAway from error

    def _report(self) -> None:
        for outcome, count in Counter(self._outcomes.values()).items():
            cache_event(outcome, count)
        if absent := sum(value.body is None for value in self.found.values()):
            cache_event("negative", absent)


def _wait(landed: threading.Event, seconds: float) -> None:
    if seconds > 0:
        landed.wait(seconds)
