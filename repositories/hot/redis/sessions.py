"""Sessions in Redis: a key for each session, by its token's digest, and an index for each account."""

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redis.exceptions import ResponseError

from repositories import meter
from repositories.address import BadAddress
from repositories.errors import MovedAway, Unavailable
from repositories.hot.encoding import live_session, live_sessions, session_bytes, session_seconds
from repositories.hot.port import NotedEndings, SessionStore
from repositories.hot.redis.backed import RedisBacked
from repositories.hot.redis.link import RedisLink, deadline_of
from repositories.hot.redis.moving import RedisSessionsPlace, refusal
from repositories.hot.redis.moving_scripts import ACCOUNT, CLOSED, GATE, LOOK, MARK, SEEN, SESSION, WAIT
from repositories.hot.redis.moving_scripts import SCRIPTS as MOVING
from repositories.hot.redis.recent_sign_ins import RecentSignIns
from repositories.hot.redis.target import target_of
from repositories.hot.redis.wire import Command, Wire
from repositories.read_your_writes import KEPT_SECONDS, Positions
from repositories.records import Ending, Session

log = logging.getLogger(__name__)

_ENDED = "quartet:ended"
# A history's last writes may be lost, and processes may have gone on with the old master for a while.
_MARGIN = timedelta(hours=1)
_PAGE = 500
# While a move switches.
_WAIT_SECONDS = 0.005

# Every script: KEYS[1] is the account's index (session id -> digest), ARGV[1] the account's id.
# An index entry counts only while the record under its digest is of that very session.
_PRELUDE = f"""
local index, account = KEYS[1], ARGV[1]
local function held(id, digest)
  local record = redis.call('GET', '{SESSION}' .. digest)
  if not record then return nil end
  local readable, session = pcall(cjson.decode, record)
  if not readable or type(session) ~= 'table' then return nil end
  return session.id == id and session.account_id == account and record
end
local function remove(id, digest)
  local there = held(id, digest)
  if there then
    redis.call('DEL', '{SESSION}' .. digest)
    changed('sessions', digest)
  end
  redis.call('HDEL', index, id)
  return there
end
local function each(act)
  local entries = redis.call('HGETALL', index)
  for i = 1, #entries, 2 do act(entries[i], entries[i + 1]) end
end
"""
_ADD = f"""{GATE}{_PRELUDE}
local id, digest, record, ttl = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local before = redis.call('HGET', index, id)
if before and before ~= digest then remove(id, before) end
redis.call('HSET', index, id, digest)
redis.call('SET', '{SESSION}' .. digest, record, 'PX', ttl)
changed('sessions', digest)
each(function(other, its) if not held(other, its) then redis.call('HDEL', index, other) end end)
if redis.call('PTTL', index) < ttl then redis.call('PEXPIRE', index, ttl) end
"""
_OF_ACCOUNT = f"""{LOOK}{_PRELUDE}
local records = {{}}
each(function(id, digest)
  local record = held(id, digest)
  if record then records[#records + 1] = record else redis.call('HDEL', index, id) end
end)
return records
"""
# Says how far a replica had followed, when it is one no more.
_NOTED = f"redis.call('SET', '{_ENDED}', redis.call('TIME')[1], 'EX', {40 * 24 * 3600})"
_END = f"""{GATE}{_PRELUDE}
{_NOTED}
local digest = redis.call('HGET', index, ARGV[2])
return digest and remove(ARGV[2], digest) and 1 or 0
"""
_END_ALL = f"""{GATE}{_PRELUDE}
{_NOTED}
each(function(id, digest) if id ~= ARGV[2] then remove(id, digest) end end)
"""
# KEYS: a session. Its record, then what its account has written: a store's name and a position in turn.
_FIND = f"""{LOOK}
local record = redis.call('GET', KEYS[1])
if not record then return {{}} end
local readable, session = pcall(cjson.decode, record)
if not readable or type(session) ~= 'table' then return {{record}} end
return {{record, unpack(redis.call('HGETALL', '{SEEN}' .. tostring(session.account_id)))}}
"""
# KEYS: a session. ARGV: its digest, its record.
_NOTE_USE = f"""{GATE}
if redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL') then changed('sessions', ARGV[1]) end
"""
# KEYS: an account's positions. ARGV: a store's name and a position in turn.
_NOTE_SEEN = f"""{GATE}
for i = 1, #ARGV, 2 do
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  if not before or before < ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed('seen', string.sub(KEYS[1], {len(SEEN) + 1}) .. ' ' .. ARGV[i])
  end
end
redis.call('EXPIRE', KEYS[1], {KEPT_SECONDS})
"""


class RedisSessions(RedisBacked, SessionStore):
    """Pattern: secondary index kept by scripts, so that a session and its index entry are one write.

    Keys live as long as the session's own length (`expires_at - created_at`) and an hour, counted from `add`;
    whether a session is live is decided by the caller's `now`. So a session of the past is still found by a
    caller whose clock is set to the past. The server must be one node or its replicas, not a cluster: a
    session and its account's index are in different hash slots.
    """

    _link: RedisLink

    def __init__(
        self, url: str, *, timeout: timedelta, pool: int, endings: NotedEndings | None = None, seen: bool = False
    ) -> None:
        self._seen = seen
        self._recent = RecentSignIns()
        greet = CatchUp(endings, self._recent) if endings else None
        target = target_of(url)
        if target.nodes:
            raise BadAddress("a session and its account's list are in several slots; use redis+sentinel://")
        scripts = (*_SCRIPTS, *MOVING)
        self._link = RedisLink(target, role="sessions", timeout=timeout, pool=pool, scripts=scripts, greet=greet)
        self._timeout = timeout.total_seconds()
        self.place = RedisSessionsPlace(self._link, lambda: datetime.now(UTC))

    def add(self, session: Session, digest: bytes) -> None:
        record, life = session_bytes(session), int(session_seconds(session) * 1000)
        self._run(_ADD, session.account_id, str(session.id), digest.hex(), record, life, again=False)
        self._recent.note(session, digest)

    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        key = SESSION + digest.hex()
        if not self._seen:
            [(mark, record)] = self._link.exchange(("MGET", MARK, key), again=True)
            if mark and mark.startswith(CLOSED):
                raise MovedAway("sessions")
            return live_session(record, now)
        [found] = self._exchange(("EVALSHA", _SHA[_FIND], 1, key), again=True)
        texts = [text.decode() for text in found[1:]]
        return live_session(found[0], now, zip(texts[::2], texts[1::2], strict=True)) if found else None

    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        arguments = [text for one in positions.items() for text in one]
        self._exchange(("EVALSHA", _SHA[_NOTE_SEEN], 1, f"{SEEN}{account_id}", *arguments), again=True)

    def note_use(self, session: Session, digest: bytes) -> None:
        name = digest.hex()
        self._exchange(("EVALSHA", _SHA[_NOTE_USE], 1, SESSION + name, name, session_bytes(session)), again=True)

    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        [records] = self._run(_OF_ACCOUNT, account_id, again=True)
        return live_sessions(records, now)

    def end(self, account_id: UUID, session_id: UUID) -> bool:
        self._recent.ended(account_id, session_id)
        [ended] = self._run(_END, account_id, str(session_id), again=False)
        return bool(ended)

    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        self._recent.all_ended(account_id, keep)
        self._run(_END_ALL, account_id, str(keep), again=False)

    def _run(self, script: str, account_id: UUID, *arguments: str | bytes | int, again: bool) -> list[Any]:
        return self._exchange(_command(script, account_id, *arguments), again=again)

    def _exchange(self, command: Command, *, again: bool) -> list[Any]:
        """Raises `MovedAway`. While a move switches, writers wait."""
        deadline = deadline_of(self._timeout)
        while True:
            try:
                return self._link.exchange_until(deadline, (command,), again=again)
            except Unavailable as error:
                if WAIT not in str(error.__cause__) or time.monotonic() > deadline:
                    raise refusal(error) from error
            time.sleep(_WAIT_SECONDS)


class CatchUp:
    """Ends again what a server may have forgotten to be ended, before anything is read from it.

    A server of another history was restarted or promoted, and may lack the last writes of before. When it last ended
    something it says itself, since what it lacks is what came after all that it has. Called with each new connection;
    it costs something with the first to each history. What is not done by the deadline goes on with the next call.
    Then it is known which of this process's last sign-ins the server lacks though nobody has ended them.
    """

    def __init__(self, endings: NotedEndings, recent: RecentSignIns) -> None:
        self._endings = endings
        self._recent = recent
        self._guard = threading.Lock()
        self._trusted: str | None = None
        self._at: tuple[str, datetime, UUID | None] | None = None

    def __call__(self, wire: Wire, deadline: float) -> None:
        """Raises `Unavailable` while it is not done."""
        if wire.history and wire.history == self._trusted:
            return
        [mark] = _replies(wire, [("GET", MARK)], deadline)
        if mark and mark.startswith(CLOSED):
            # Nothing is believed of it.
            return
        if not self._guard.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise Unavailable("sessions", "what was ended is not known yet")
        try:
            if wire.history != self._trusted or not wire.history:
                self._catch_up(wire, deadline)
        finally:
            self._guard.release()

    def _catch_up(self, wire: Wire, deadline: float) -> None:
        if self._at is None or self._at[0] != wire.history:
            [noted] = _replies(wire, [("GET", _ENDED)], deadline)
            since = datetime.fromtimestamp(int(noted), UTC) - _MARGIN if noted else datetime.fromtimestamp(0, UTC)
            self._at = (wire.history, since, None)
        _replies(wire, [("SCRIPT", "LOAD", script) for script in (_OF_ACCOUNT, _END)], deadline)
        while page := self._endings(self._at[1], self._at[2], _PAGE):
            self._end(wire, page, deadline)
            self._at = (wire.history, page[-1].noted_at, page[-1].id)
        self._count_lost(wire, deadline)
        self._trusted, self._at = wire.history, None

    def _count_lost(self, wire: Wire, deadline: float) -> None:
        digests = self._recent.digests()
        there = _replies(wire, [("EXISTS", SESSION + digest.hex()) for digest in digests], deadline)
        lost = self._recent.lost([digest for digest, found in zip(digests, there, strict=True) if not found])
        if lost:
            meter.counted("lost_tail", lost)
            log.error("sessions: a failover or a restart has lost %d acknowledged sign-ins of this process", lost)

    def _end(self, wire: Wire, page: Sequence[Ending], deadline: float) -> None:
        for one in page:
            if one.session_id is None:
                self._recent.all_ended(one.account_id, one.kept_id, one.ended_at)
            else:
                self._recent.ended(one.account_id, one.session_id)
        several = [ending for ending in page if ending.session_id is None]
        held = _replies(wire, [_command(_OF_ACCOUNT, ending.account_id) for ending in several], deadline)
        doomed = [
            (ending.account_id, one.id)
            for ending, records in zip(several, held, strict=True)
            for one in live_sessions(records, ending.ended_at)
            if one.created_at <= ending.ended_at and one.id != ending.kept_id
        ]
        doomed += [(ending.account_id, ending.session_id) for ending in page if ending.session_id is not None]
        _replies(wire, [_command(_END, account_id, str(session_id)) for account_id, session_id in doomed], deadline)


def _replies(wire: Wire, commands: list[Command], deadline: float) -> list[Any]:
    """Of what may be sent again: while a move switches it waits, as other writers do."""
    while commands:
        replies = wire.talk(commands, deadline)
        refused = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if refused is None:
            return replies
        if WAIT not in str(refused) or time.monotonic() > deadline:
            raise refused
        time.sleep(_WAIT_SECONDS)
    return []


def _command(script: str, account_id: UUID, *arguments: str | bytes | int) -> Command:
    return ("EVALSHA", _SHA[script], 1, f"{ACCOUNT}{account_id}", str(account_id), *arguments)


_SCRIPTS = (_ADD, _OF_ACCOUNT, _END, _END_ALL, _FIND, _NOTE_USE, _NOTE_SEEN)
_SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in _SCRIPTS}  # noqa: S324  Redis names scripts so
