"""Restores what the Redis of sessions may have lost in a failover, on each new connection before it is used."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redis.exceptions import ResponseError

from repositories.errors import Unavailable
from repositories.hot.encoding import live_sessions
from repositories.hot.port import NotedEndings
from repositories.hot.redis import session_scripts as scripts
from repositories.hot.redis.moving_scripts import CLOSED, MARK, SESSION, WAIT, WAIT_SECONDS
from repositories.hot.redis.recent_sign_ins import RecentSignIns
from repositories.hot.redis.wire import Command, Wire
from repositories.records.people import Ending

log = logging.getLogger(__name__)
# Endings are repeated from this long before the last one that the server has: processes may have used the old master
# for a while after the failover.
_MARGIN = timedelta(hours=1)
_PAGE = 500


class SessionRecovery:
    """Ends again the sessions whose endings the server may have lost, before anything is read from it.

    A server with another replication history was restarted or promoted, and may lack the last writes. It has stored
    when it last ended a session; what it lacks came later. Called with each new connection; only the first one to each
    history takes time. What is not done by the deadline is continued by the next call. Finally it counts which of this
    process's last sign-ins the server lacks although nobody has ended them.
    """

    def __init__(self, endings: NotedEndings, recent: RecentSignIns) -> None:
        self._endings = endings
        self._recent = recent
        self._guard = threading.Lock()
        self._trusted: str | None = None
        self._at: tuple[str, datetime, UUID | None] | None = None

    def __call__(self, wire: Wire, deadline: float) -> None:
        """Raises `Unavailable` until it is done."""
        if wire.history and wire.history == self._trusted:
            return
        [mark] = _replies(wire, [("GET", MARK)], deadline)
        if mark and mark.startswith(CLOSED):
            # This place is not the truth, so nothing is read from it.
            return
        if not self._guard.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise Unavailable("sessions", "what was ended is not known yet")
        try:
            if wire.history != self._trusted or not wire.history:
                self._recover(wire, deadline)
        finally:
            self._guard.release()

    def _recover(self, wire: Wire, deadline: float) -> None:
        if self._at is None or self._at[0] != wire.history:
            [noted] = _replies(wire, [("GET", scripts.ENDED)], deadline)
            since = datetime.fromtimestamp(int(noted), UTC) - _MARGIN if noted else datetime.fromtimestamp(0, UTC)
            self._at = (wire.history, since, None)
        _replies(wire, [("SCRIPT", "LOAD", script) for script in (scripts.OF_ACCOUNT, scripts.END)], deadline)
        while page := self._endings(self._at[1], self._at[2], _PAGE):
            self._end(wire, page, deadline)
            self._at = (wire.history, page[-1].noted_at, page[-1].id)
        self._count_lost(wire, deadline)
        self._trusted, self._at = wire.history, None

    def _count_lost(self, wire: Wire, deadline: float) -> None:
        digests = self._recent.digests()
        there = _replies(wire, [("EXISTS", SESSION + digest.hex()) for digest in digests], deadline)
        self._recent.report_lost([digest for digest, found in zip(digests, there, strict=True) if not found])

    def _end(self, wire: Wire, page: Sequence[Ending], deadline: float) -> None:
        for one in page:
            if one.session_id is None:
                self._recent.all_ended(one.account_id, one.kept_id, one.ended_at)
            else:
                self._recent.ended(one.account_id, one.session_id)
        several = [ending for ending in page if ending.session_id is None]
        held = _replies(wire, [scripts.command(scripts.OF_ACCOUNT, ending.account_id) for ending in several], deadline)
        doomed = [
            (ending.account_id, one.id)
            for ending, records in zip(several, held, strict=True)
            for one in live_sessions(records, ending.ended_at)
            if one.created_at <= ending.ended_at and one.id != ending.kept_id
        ]
        doomed += [(ending.account_id, ending.session_id) for ending in page if ending.session_id is not None]
        _replies(
            wire,
            [scripts.command(scripts.END, account_id, str(session_id)) for account_id, session_id in doomed],
            deadline,
        )


def _replies(wire: Wire, commands: list[Command], deadline: float) -> list[Any]:
    """The replies to commands that may be sent twice. During the switch of a move it waits, like other writers."""
    while commands:
        replies = wire.talk(commands, deadline)
        refused = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if refused is None:
            return replies
        if WAIT not in str(refused) or time.monotonic() > deadline:
            raise refused
        time.sleep(WAIT_SECONDS)
    return []
