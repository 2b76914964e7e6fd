"""Cache-aside behind one `get`: what is cached comes out of the cache, what is not is loaded and kept."""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Value
from repositories.meter import cache_event
from repositories.readthrough.kinds import Kind
from repositories.readthrough.limit import Limit
from repositories.readthrough.used import Used
from repositories.readthrough.waves import Means, Wave

log = logging.getLogger(__name__)
K = TypeVar("K")
Wanted = Mapping[Kind[Any], Collection[Any]]
LOADS = 64
_TOLD = 5


class ReadThrough:
    """The cache is never the truth: where it does not answer, reads go to the source, within a limit."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def get(self, kind: Kind[K], ids: Collection[K], used: Used | None = None) -> dict[K, Value]:
        """As `wave`, of one kind."""
        found: dict[K, Value] = self.wave({kind: ids}, used)[kind]
        return found

    def wave(self, wanted: Wanted, used: Used | None = None) -> dict[Kind[Any], dict[Any, Value]]:
        """What there is of the wanted things; each value has a body. Raises what a source raises.

        One cache read when all is there and fresh. Otherwise one more for the leases, one load for each kind
        that misses, one fill; and waiting, for a bounded time, for what somebody else loads. `used` is told of each.
        """
        refs = {kind.key(about): (kind, about) for kind, ids in wanted.items() for about in ids}
        answer: dict[Kind[Any], dict[Any, Value]] = {kind: {} for kind in wanted}
        if refs:
            wave = Wave(self._means, refs)
            values = wave.run()
            if used is not None:
                wave.tell(used)
            for key, (kind, about) in refs.items():
                if values[key].body is not None:
                    answer[kind][about] = values[key]
        return answer

    def drop(self, wanted: Wanted) -> None:
        """From its return on no reader gets an older value. One round trip. Raises `Unavailable`."""
        keys = [kind.key(about) for kind, ids in wanted.items() for about in ids]
        if keys:
            self._means.cache.drop(keys)
            cache_event("drop", len(keys))

    def forget(self, wanted: Wanted) -> None:
        """`drop` after a write that is done and must not fail for the cache: the write's event drops once more."""
        try:
            self.drop(wanted)
        except Unavailable as error:
            keys = [kind.key(about) for kind, ids in wanted.items() for about in ids]
            log.warning("%d keys may stay cached until their event is told: %s: %s", len(keys), keys[:_TOLD], error)

    def write(self, kind: Kind[K], about: K, write: Callable[[], Value]) -> Value:
        """Write-through: run `write`, which changes the source and returns the new value, and keep that.

        The lease is taken before the write, so that a drop by any other writer meanwhile voids it; where there is
        none to be had, or the outcome is unknown, the key is dropped.
        """
        key, stored = kind.key(about), False
        lease = self._lease_to_write(key)
        try:
            value = write()
            stored = lease is not None and self._store(key, Fill(lease, value, kind.fresh, kind.stale))
        finally:
            if not stored:
                self.forget({kind: [about]})
        return value

    def _lease_to_write(self, key: str) -> bytes | None:
        try:
            [held] = self._means.cache.read([key])
            [answer] = self._means.cache.lease({key: held.stamp if held else b""})
        except Unavailable:
            return None
        return answer if isinstance(answer, bytes) else None

    def _store(self, key: str, fill: Fill) -> bool:
        try:
            stored = bool(self._means.cache.fill({key: fill}))
        except Unavailable:
            return False
        if stored:
            self._means.cache.outwait()
        return stored


def read_through(cache: Cache, limit: Limit | None = None, patience: timedelta = timedelta(seconds=2)) -> ReadThrough:
    """`limit` is for all loads of a process together; `patience` is how long another's load is waited for."""
    return ReadThrough(Means(cache, limit or Limit(LOADS, patience), patience))
