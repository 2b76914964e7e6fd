"""Write-through: a writer stores the new value in the cache, unless the same thing is changed concurrently."""

from collections.abc import Callable, Collection
from typing import TypeVar
from uuid import UUID

from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kind, Kinds, account_value
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Value, lease_of, stored_under
from repositories.records.people import Account

K = TypeVar("K")


class WriteThrough:
    def __init__(self, cache: Cache, kinds: Kinds, invalidation: Invalidation) -> None:
        self._cache = cache
        self._kinds = kinds
        self._invalidation = invalidation

    def account(self, account_id: UUID, write: Callable[[], Account], renamed: Collection[str]) -> None:
        """`renamed` are the handles before and after, if they differ."""
        stale = self._invalidation.handles(renamed)
        self.store(self._kinds.accounts, account_id, lambda: account_value(write()), stale)

    def store(self, kind: Kind[K], about: K, write: Callable[[], Value], stale: Collection[str] = ()) -> Value:
        """Run `write`, which changes the source and returns the new value. Cache the value, and drop the `stale` keys.

        The lease is taken before the write, so that a concurrent drop by another writer voids it. If no lease is
        granted, or the outcome of the write is unknown, the key is dropped with the others.
        """
        key, stored = kind.key(about), False
        lease = self._lease(key)
        try:
            value = write()
            stored = lease is not None and self._store(key, Fill(lease, value, kind.fresh, kind.stale))
        finally:
            self._invalidation.forget(stale if stored else [key, *stale])
        return value

    def _lease(self, key: str) -> bytes | None:
        try:
            [held] = self._cache.read([key])
        except Unavailable:
            return None
        return lease_of(self._cache, key, held.stamp if held else b"")

    def _store(self, key: str, fill: Fill) -> bool:
        stored = stored_under(self._cache, key, fill)
        if stored:
            self._cache.outwait()
        return stored
