"""Console sessions of operators that were ended before they expired.

The cookie is signed and is checked without a store, because the console is needed most while stores are unavailable. An
ending is recorded in the relational store for all processes. A process that cannot read it there goes by the endings
that it has seen.
"""

import logging
import time
from datetime import timedelta
from uuid import UUID

from app.services.commands.kit import Kit
from repositories.deadline import within
from repositories.errors import Conflict, StoreError
from repositories.records.people import Ending
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# Deadline of a look-up: a small part of what a page may take.
SECONDS = 1.0
# No look-up for this long after the store did not answer, so that not every panel of a page waits for it.
PAUSE = 5.0


class ConsoleSessions:
    def __init__(self, relational: RelationalStore, kit: Kit) -> None:
        self._relational = relational
        self._kit = kit
        self._ended: set[UUID] = set()
        self._asks_again = 0.0

    def end(self, session: UUID, lifetime: timedelta) -> None:
        """Idempotent. Raises `StoreError` if other processes cannot learn of it; this process knows in any case."""
        self._ended.add(session)
        now = self._kit.clock()
        ending = Ending(session, session, session, None, now, now, now + lifetime)
        try:
            self._kit.retry(lambda: self._add_ending(ending))
        except Conflict:
            log.debug("a session of the console was ended twice")

    def is_over(self, session: UUID) -> bool | None:
        """Whether it was ended. None if unknown: this process has not seen it end, and the store does not answer."""
        if session in self._ended:
            return True
        if time.monotonic() < self._asks_again:
            return None
        try:
            with within(SECONDS):
                found = self._relational.endings.get(session, session)
        except StoreError as error:
            self._asks_again = time.monotonic() + PAUSE
            log.warning("whether a session of the console was ended is not known: %s", error)
            return None
        if found:
            self._ended.add(session)
        return found is not None

    def _add_ending(self, ending: Ending) -> None:
        with self._relational.transaction() as tx:
            tx.endings.add(ending)
