"""The last sign-ins of this process, by which it detects that a failover or restart of Redis has lost some."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from repositories import meter
from repositories.records.people import Session

log = logging.getLogger(__name__)
# Older sign-ins are not checked: endings from before are not read again (see `SessionRecovery`), so another process
# may have ended the missing session.
KEPT_SECONDS = 3600
MOST = 4096


class SignIn(NamedTuple):
    session_id: UUID
    account_id: UUID
    created_at: datetime
    # By the monotonic clock.
    noted: float


class RecentSignIns:
    """Sign-ins, by digest, that were acknowledged here and are not known to have ended since."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._guard = threading.Lock()
        self._kept: OrderedDict[bytes, SignIn] = OrderedDict()
        # How often a new server was checked. A sign-in that was sent before a check and noted after it was not checked.
        self.checks = 0

    def note(self, session: Session, digest: bytes) -> None:
        with self._guard:
            self._kept[digest] = SignIn(session.id, session.account_id, session.created_at, self._now())
            while len(self._kept) > MOST or next(iter(self._kept.values())).noted < self._now() - KEPT_SECONDS:
                self._kept.popitem(last=False)

    def ended(self, account_id: UUID, session_id: UUID) -> None:
        self._forget(lambda one: one.session_id == session_id and one.account_id == account_id)

    def all_ended(self, account_id: UUID, keep: UUID | None, until: datetime | None = None) -> None:
        """Forget the sign-ins of an account except `keep`; with `until`, only those made up to that time."""
        self._forget(
            lambda one: (
                one.account_id == account_id and one.session_id != keep and (until is None or one.created_at <= until)
            )
        )

    def digests(self) -> list[bytes]:
        """Those to be looked for on a new server."""
        since = self._now() - KEPT_SECONDS
        with self._guard:
            self.checks += 1
            return [digest for digest, one in self._kept.items() if one.noted >= since]

    def lost(self, digests: Collection[bytes]) -> int:
        """How many of these have not been ended meanwhile. They are forgotten, so that they are counted once."""
        with self._guard:
            return sum(self._kept.pop(digest, None) is not None for digest in digests)

    def report_lost(self, digests: Collection[bytes]) -> None:
        """Count and log these, which a new server lacks, unless they were ended meanwhile."""
        lost = self.lost(digests)
        if lost:
            meter.counted("lost_tail", lost)
            log.error("sessions: a failover or a restart has lost %d acknowledged sign-ins of this process", lost)

    def _forget(self, is_ended: Callable[[SignIn], bool]) -> None:
        with self._guard:
            for digest in [digest for digest, one in self._kept.items() if is_ended(one)]:
                del self._kept[digest]
