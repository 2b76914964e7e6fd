"""Live streams in Redis: for each account that listens a head, a stream, and the keys of its events."""

import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from redis.exceptions import ResponseError

from repositories.batched import batched
from repositories.hot.encoding import text_bytes
from repositories.hot.redis.cluster import TAGS, Owns, is_cluster, link_to
from repositories.hot.redis.store import RedisStore
from repositories.hot.redis.wire import Command, Wire
from repositories.hot.streams_port import (
    KEPT,
    LISTENING,
    Delta,
    LiveEvent,
    Position,
    Streams,
    gone,
    lost,
    new_epoch,
)

# KEYS: the head (`epoch.number`), the stream, the keys of its events by number; all listeners by id, and by the time
# from which they may be forgotten. ARGV: time to live in milliseconds, a new epoch, the account's id, now, that time.
_LISTEN = """
local head = redis.call('GET', KEYS[1])
if not head or not redis.call('ZSCORE', KEYS[4], ARGV[3]) then
  redis.call('DEL', KEYS[2], KEYS[3])
  head = ARGV[2] .. '.0'
end
redis.call('SET', KEYS[1], head, 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[4], 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
end
redis.call('ZADD', KEYS[4], 0, ARGV[3])
redis.call('ZADD', KEYS[5], ARGV[5], ARGV[3])
return head
"""
# KEYS of the next two: the head, the stream and, to append, the keys of its events.
_APPEND = """
local head, kept = redis.call('GET', KEYS[1]), tonumber(ARGV[4])
if not head or redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
local dot = string.find(head, '.', 1, true)
local number = tonumber(string.sub(head, dot + 1)) + 1
local written = string.format('%d', number)
redis.call('XADD', KEYS[2], 'MAXLEN', kept, written .. '-0', 'k', ARGV[1], 'n', ARGV[2], 'd', ARGV[3])
redis.call('ZADD', KEYS[3], number, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', number - kept)
redis.call('SET', KEYS[1], string.sub(head, 1, dot) .. written, 'KEEPTTL')
local life = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[2], life)
redis.call('PEXPIRE', KEYS[3], life)
return 1
"""
_READ = """
return {redis.call('GET', KEYS[1]), redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])}
"""
# KEYS: the server's id, and the two indexes of listeners. ARGV: prefix and suffix of a listener's id in the name of its
# head. Ends all streams if they are from another server process: they may lack its last events, whose numbers would be
# given again.
_GREET = """
local own = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if not own or redis.call('GET', KEYS[1]) == own then return end
redis.call('SET', KEYS[1], own)
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('DEL', ARGV[1] .. id .. ARGV[2]) end
redis.call('DEL', KEYS[2], KEYS[3])
"""
_SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in (_LISTEN, _APPEND, _READ)}  # noqa: S324  Redis names scripts so
_PLACE = "quartet:1:live:"
_MS = int(LISTENING.total_seconds() * 1000)
_CHUNK = 1000
_SINGLE_TAG = "{listeners}"
# This many scripts take about as long as one exchange may block the server.
_AT_ONCE = 250
# For up to this many accounts the scripts are sent without asking first who listens.
_FEW = 8


class RedisStreams(RedisStore, Streams):
    """The heads decide who listens; the server may evict any key at any time.

    A lost head ends the epoch; a promotion or restart of the server ends all epochs. A lost stream is noticed by its
    numbers. An account that is missing in the index of listeners may have missed events, so its next `listen` begins a
    new epoch. Check and renewal are one script: of two clients that listen at once, the second must not end the epoch
    of the first. Therefore in a cluster each hash tag has its own index. `clock` returns seconds; it only decides when
    an entry of the index may be removed.
    """

    def __init__(self, url: str, *, timeout: timedelta, pool: int, clock: Callable[[], float] = time.time) -> None:
        self._link = link_to(url, role="cache", timeout=timeout, pool=pool, scripts=tuple(_SHA), greet=self._greet)
        self._tags = TAGS if is_cluster(url) else ()
        self._clock = clock

    def listen(self, account_id: UUID) -> Position:
        now = self._clock()
        until, names = (
            str(now + 2 * LISTENING.total_seconds()),
            (*self._keys(account_id), *_index(self._tag(account_id))),
        )
        listen = _script(_LISTEN, names, _MS, new_epoch(), account_id.hex, str(now), until)
        [head] = self._link.exchange(listen, again=True)
        return _position(head)

    def listeners(self, *, after: UUID | None, limit: int) -> list[UUID]:
        found: list[UUID] = []
        while len(found) < limit:
            above, most = f"({after.hex}" if after else "-", min(limit, _CHUNK)
            pages = self._link.exchange(
                *(
                    ("ZRANGEBYLEX", _index(tag)[0], above, "+", "LIMIT", 0, most)
                    for tag in self._tags or (_SINGLE_TAG,)
                ),
                again=True,
            )
            ids = [UUID(raw.decode()) for raw in sorted(raw for page in pages for raw in page)[:most]]
            if not ids:
                break
            found += self._listening(ids)
            after = ids[-1]
        return found[:limit]

    def append(self, account_ids: Collection[UUID], event: LiveEvent) -> None:
        key, name = text_bytes(event.key), text_bytes(event.name)
        for chunk in batched(dict.fromkeys(account_ids), _CHUNK):
            listening = chunk if len(chunk) <= _FEW else self._listening(chunk)
            for some in batched(listening, _AT_ONCE):
                scripts = [_script(_APPEND, self._keys(one), key, name, event.data, KEPT) for one in some]
                self._link.exchange(*scripts, again=True)

    def since(self, positions: Sequence[tuple[UUID, Position]], *, limit: int) -> list[Delta]:
        heads = self._heads([account_id for account_id, _ in positions])
        deltas = [_unread(head, at) for head, (_, at) in zip(heads, positions, strict=True)]
        behind = [index for index, delta in enumerate(deltas) if delta is None]
        reads = [
            _script(_READ, self._keys(positions[i][0])[:2], f"{positions[i][1].number + 1}-0", limit) for i in behind
        ]
        replies = self._link.exchange(*reads, again=True) if reads else []
        for index, (head, entries) in zip(behind, replies, strict=True):
            deltas[index] = _read(head, entries, positions[index][1])
        return [delta for delta in deltas if delta is not None]

    def _greet(self, owns: Owns, wire: Wire, deadline: float) -> None:
        tags = [tag for tag in self._tags or (_SINGLE_TAG,) if owns(_index(tag)[0].encode())]
        commands = [("EVAL", _GREET, 3, f"{_PLACE}{tag}:server", *_index(tag), *self._affixes(tag)) for tag in tags]
        for reply in wire.talk(commands, deadline):
            if isinstance(reply, ResponseError):
                raise reply

    def _listening(self, account_ids: Sequence[UUID]) -> list[UUID]:
        return [one for one, head in zip(account_ids, self._heads(account_ids), strict=True) if head is not None]

    def _heads(self, account_ids: Sequence[UUID]) -> list[Any]:
        if not account_ids:
            return []
        names = [self._keys(one)[0] for one in account_ids]
        if self._tags:
            return self._link.exchange(*(("GET", name) for name in names), again=True)
        [heads] = self._link.exchange(("MGET", *names), again=True)
        return list(heads)

    def _tag(self, account_id: UUID) -> str:
        return self._tags[account_id.int % len(self._tags)] if self._tags else _SINGLE_TAG

    def _keys(self, account_id: UUID) -> tuple[str, str, str]:
        before, behind = self._affixes(self._tag(account_id))
        slot = f"{before}{account_id.hex}{behind}".removesuffix("head")
        return f"{slot}head", f"{slot}events", f"{slot}keys"

    def _affixes(self, tag: str) -> tuple[str, str]:
        """Prefix and suffix of an account's id in the name of its head. On one server each account has its own tag."""
        return (f"{_PLACE}{tag}:", ":head") if self._tags else (f"{_PLACE}{{", "}:head")


def _unread(head: bytes | None, at: Position) -> Delta | None:
    """The answer to a reader for whom there is nothing to read; None for a reader who is behind."""
    if head is None:
        return gone()
    end = _position(head)
    if end == at:
        return Delta(end, (), lost=False)
    return None if end.epoch == at.epoch and end.number > at.number else lost(end)


def _read(head: bytes | None, entries: list[Any], at: Position) -> Delta:
    """The answer to a reader who was behind. `head` was read with the entries: the stream may be a new one by then."""
    if head is None:
        return gone()
    end = _position(head)
    numbers = [int(number.split(b"-")[0]) for number, _ in entries]
    if end.epoch != at.epoch or numbers[:1] != [at.number + 1]:
        return lost(end)
    events = tuple(LiveEvent(f[1].decode(), f[3].decode(), f[5]) for _, f in entries)
    return Delta(Position(at.epoch, numbers[-1]), events, lost=False)


def _position(head: bytes) -> Position:
    epoch, _, number = head.decode().partition(".")
    return Position(epoch, int(number))


def _script(script: str, keys: Sequence[str], *arguments: str | bytes | int) -> Command:
    return ("EVALSHA", _SHA[script], len(keys), *keys, *arguments)


def _index(tag: str) -> tuple[str, str]:
    """The names of the two indexes of listeners: by id, and by the time from which they may be forgotten."""
    return f"{_PLACE}{tag}:id", f"{_PLACE}{tag}:end"
