"""Deferred work, done when the cache's Redis is back: keys to drop, live events to announce."""

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
        """Oldest first, a bounded number. Returns how much was done. Raises `Unavailable` while the cache is away.

        A relay that dies before `done` leaves work that is done again, which changes nothing.
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
