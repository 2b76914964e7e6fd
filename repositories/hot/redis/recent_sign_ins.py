"""The last sign-ins of this process. By them it notices that a failover or a restart of Redis has lost some."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from repositories.records import Session

# For longer than this nobody asks a new server what was ended before, so a session may be gone for that.
KEPT_SECONDS = 3600
MOST = 4096


class SignIn(NamedTuple):
    session_id: UUID
    account_id: UUID
    created_at: datetime
    # By this process's own clock, which nobody sets.
    noted: float


class RecentSignIns:
    """By digest: what was acknowledged here and, as far as is known, not ended since."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._guard = threading.Lock()
        self._kept: OrderedDict[bytes, SignIn] = OrderedDict()

    def note(self, session: Session, digest: bytes) -> None:
        with self._guard:
            self._kept[digest] = SignIn(session.id, session.account_id, session.created_at, self._now())
            while len(self._kept) > MOST or next(iter(self._kept.values())).noted < self._now() - KEPT_SECONDS:
                self._kept.popitem(last=False)

    def ended(self, account_id: UUID, session_id: UUID) -> None:
        self._forget(lambda one: one.session_id == session_id and one.account_id == account_id)

    def all_ended(self, account_id: UUID, keep: UUID | None, until: datetime | None = None) -> None:
        """Those of an account, but for one; or of these who signed in by then."""
        self._forget(
            lambda one: (
                one.account_id == account_id and one.session_id != keep and (until is None or one.created_at <= until)
            )
        )

    def digests(self) -> list[bytes]:
        since = self._now() - KEPT_SECONDS
        with self._guard:
            return [digest for digest, one in self._kept.items() if one.noted >= since]

    def lost(self, digests: Collection[bytes]) -> int:
        """How many of these nobody has ended meanwhile. They are not counted again."""
        with self._guard:
            return sum(self._kept.pop(digest, None) is not None for digest in digests)

    def _forget(self, is_ended: Callable[[SignIn], bool]) -> None:
        with self._guard:
            for digest in [digest for digest, one in self._kept.items() if is_ended(one)]:
                del self._kept[digest]
