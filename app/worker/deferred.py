"""Performs deferred work once the cache's Redis is back: keys to drop, live events to announce."""

from datetime import datetime

from app.services.live.announcer import LIVE, Announcer
from app.services.pages.invalidation import DROP, Invalidation
from repositories.relational import RelationalStore
from repositories.relational.deferred_port import Deferred

AT_ONCE = 1000
ROUNDS = 10


class DeferredWork:
    def __init__(self, relational: RelationalStore, invalidation: Invalidation, announcer: Announcer) -> None:
        self._relational = relational
        self._invalidation = invalidation
        self._announcer = announcer

    def perform(self, _now: datetime) -> int:
        """Perform at most `ROUNDS` batches of `AT_ONCE` items, oldest first, and return the number of items.

        Raises `Unavailable` while the cache is away. If a relay dies before `done`, the work is repeated, which has no
        further effect.
        """
        done = 0
        for _ in range(ROUNDS):
            work = self._relational.deferred.first(limit=AT_ONCE)
            self._act(work)
            if work:
                with self._relational.transaction() as tx:
                    tx.deferred.done([one.token for one in work])
            done += len(work)
            if len(work) < AT_ONCE:
                break
        return done

    def _act(self, work: list[Deferred]) -> None:
        self._invalidation.drop([w.key.removeprefix(DROP).decode() for w in work if w.key.startswith(DROP)])
        for one in work:
            if one.key.startswith(LIVE):
                self._announcer.announce_deferred(one)
