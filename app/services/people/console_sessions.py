"""Sessions of operators at the console that were ended before their time.

Their cookie is signed and asks no store, because the console is wanted most while stores are away. What ends one is
noted in the relational store, for every process to see. A process that cannot see it goes by what it has seen.
"""

import logging
import time
from datetime import timedelta
from uuid import UUID

from app.services.commands.kit import Kit
from repositories.deadline import within
from repositories.errors import Conflict, StoreError
from repositories.records import Ending
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# A look at it is a small part of what a page may take.
SECONDS = 1.0
# A store that did not answer is not waited for again by each panel of a page.
PAUSE = 5.0


class ConsoleSessions:
    def __init__(self, relational: RelationalStore, kit: Kit) -> None:
        self._relational = relational
        self._kit = kit
        self._ended: set[UUID] = set()
        self._asks_again = 0.0

    def end(self, session: UUID, lifetime: timedelta) -> None:
        """Idempotent. Raises `StoreError` where other processes cannot know; this one does in any case."""
        self._ended.add(session)
        now = self._kit.clock()
        ending = Ending(session, session, session, None, now, now, now + lifetime)
        try:
            self._kit.retry(lambda: self._note(ending))
        except Conflict:
            log.debug("a session of the console was ended twice")

    def is_over(self, session: UUID) -> bool | None:
        """None where it cannot be said: it is not known here to be over, and the store does not answer."""
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

    def _note(self, ending: Ending) -> None:
        with self._relational.transaction() as tx:
            tx.endings.add(ending)
