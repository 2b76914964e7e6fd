"""Sessions in Redis: a key for each session, by its token's digest, and an index for each account."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from repositories.address import BadAddress
from repositories.errors import MovedAway, Unavailable
from repositories.hot.encoding import live_session, live_sessions, session_bytes, session_seconds
from repositories.hot.port import NotedEndings, SessionStore
from repositories.hot.redis import session_scripts as scripts
from repositories.hot.redis.link import RedisLink, deadline_of
from repositories.hot.redis.moving import RedisSessionsPlace, refusal
from repositories.hot.redis.moving_scripts import CLOSED, MARK, SEEN, SESSION, WAIT, WAIT_SECONDS
from repositories.hot.redis.moving_scripts import SCRIPTS as MOVING
from repositories.hot.redis.recent_sign_ins import RecentSignIns
from repositories.hot.redis.session_recovery import SessionRecovery
from repositories.hot.redis.store import RedisStore
from repositories.hot.redis.target import target_of
from repositories.hot.redis.wire import Command
from repositories.read_your_writes import Positions
from repositories.records.people import Session


class RedisSessions(RedisStore, SessionStore):
    """Pattern: secondary index kept by scripts, so that a session and its index entry are one write.

    A key lives for the session's lifetime (`expires_at - created_at`) plus an hour, counted from `add`. Whether a
    session is live is decided by the caller's `now`, so a caller whose clock is set to the past still finds a session
    of that time. The server must be one node or its replicas, not a cluster: a session and its account's index are in
    different hash slots.
    """

    _link: RedisLink

    def __init__(
        self, url: str, *, timeout: timedelta, pool: int, endings: NotedEndings | None = None, seen: bool = False
    ) -> None:
        self._seen = seen
        self._recent = RecentSignIns()
        greet = SessionRecovery(endings, self._recent) if endings else None
        target = target_of(url)
        if target.nodes:
            raise BadAddress(
                "a Redis Cluster would keep a session and its account's list in different slots; use redis+sentinel://"
            )
        every = (*scripts.SCRIPTS, *MOVING)
        self._link = RedisLink(target, role="sessions", timeout=timeout, pool=pool, scripts=every, greet=greet)
        self._timeout = timeout.total_seconds()
        self.place = RedisSessionsPlace(self._link, lambda: datetime.now(UTC))

    def add(self, session: Session, digest: bytes) -> None:
        record, life = session_bytes(session), int(session_seconds(session) * 1000)
        checks = self._recent.checks
        self._run(scripts.ADD, session.account_id, str(session.id), digest.hex(), record, life, again=False)
        self._recent.note(session, digest)
        if self._recent.checks != checks:
            self._check(digest)

    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        key = SESSION + digest.hex()
        if not self._seen:
            [(mark, record)] = self._link.exchange(("MGET", MARK, key), again=True)
            if mark and mark.startswith(CLOSED):
                raise MovedAway("sessions")
            return live_session(record, now)
        [found] = self._exchange(("EVALSHA", scripts.SHA[scripts.FIND], 1, key), again=True)
        texts = [text.decode() for text in found[1:]]
        return live_session(found[0], now, zip(texts[::2], texts[1::2], strict=True)) if found else None

    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        arguments = [text for one in positions.items() for text in one]
        self._exchange(("EVALSHA", scripts.SHA[scripts.NOTE_SEEN], 1, f"{SEEN}{account_id}", *arguments), again=True)

    def note_use(self, session: Session, digest: bytes) -> None:
        name = digest.hex()
        self._exchange(
            ("EVALSHA", scripts.SHA[scripts.NOTE_USE], 1, SESSION + name, name, session_bytes(session)), again=True
        )

    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        [records] = self._run(scripts.OF_ACCOUNT, account_id, again=True)
        return live_sessions(records, now)

    def end(self, account_id: UUID, session_id: UUID) -> bool:
        self._recent.ended(account_id, session_id)
        [ended] = self._run(scripts.END, account_id, str(session_id), again=False)
        return bool(ended)

    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        self._recent.all_ended(account_id, keep)
        self._run(scripts.END_ALL, account_id, str(keep), again=False)

    def _check(self, digest: bytes) -> None:
        """Count a sign-in as lost if the server that acknowledged it has been replaced since by one that lacks it."""
        with suppress(Unavailable):
            [there] = self._exchange(("EXISTS", SESSION + digest.hex()), again=True)
            if not there:
                self._recent.report_lost([digest])

    def _run(self, script: str, account_id: UUID, *arguments: str | bytes | int, again: bool) -> list[Any]:
        return self._exchange(scripts.command(script, account_id, *arguments), again=again)

    def _exchange(self, command: Command, *, again: bool) -> list[Any]:
        """Send a command. During the switch of a move, writers wait. Raises `MovedAway`."""
        deadline = deadline_of(self._timeout)
        while True:
            try:
                return self._link.exchange_until(deadline, (command,), again=again)
            except Unavailable as error:
                if WAIT not in str(error.__cause__) or time.monotonic() > deadline:
                    raise refusal(error) from error
            time.sleep(WAIT_SECONDS)
