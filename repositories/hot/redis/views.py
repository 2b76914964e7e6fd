"""View counts in Redis: a hash of open counts, and a hash of the batch that was taken."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from repositories.hot.redis.cluster import is_cluster, link_to
from repositories.hot.redis.store import RedisStore
from repositories.hot.redis.wire import Command
from repositories.hot.views_port import ViewBatch, ViewCounts

_PLACE, _IN_A_CLUSTER = b"quartet:views:", b"quartet:{views}:"
_DAY = 24 * 3600

# KEYS: open, taken, number. ARGV: how many posts at most. Numbers are microseconds of the server's clock.
_TAKE = f"""
local counts = redis.call('HGETALL', KEYS[2])
local number = redis.call('GET', KEYS[3])
if #counts > 0 and number then return {{number, counts}} end
local time = redis.call('TIME')
local next = time[1] .. string.format('%06d', time[2])
if number and tonumber(next) <= tonumber(number) then next = string.format('%.0f', tonumber(number) + 1) end
counts = redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
if #counts == 0 then return false end
redis.call('DEL', KEYS[2])
for i = 1, #counts, 2 do
  redis.call('HSET', KEYS[2], counts[i], counts[i + 1])
  redis.call('HDEL', KEYS[1], counts[i])
end
redis.call('SET', KEYS[3], next, 'EX', {_DAY})
redis.call('EXPIRE', KEYS[2], {_DAY})
return {{next, counts}}
"""

# KEYS: taken, number. ARGV: the batch's number.
_DONE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in (_TAKE, _DONE)}  # noqa: S324  Redis names scripts so


class RedisViewCounts(RedisStore, ViewCounts):
    """Pattern: write-back. Commands that would count twice are not sent twice."""

    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._link = link_to(url, role="cache", timeout=timeout, pool=pool, scripts=(_TAKE, _DONE))
        place = _IN_A_CLUSTER if is_cluster(url) else _PLACE
        self._open, self._taken, self._number = place + b"open", place + b"taken", place + b"number"

    def add(self, counts: Mapping[UUID, int]) -> None:
        if counts:
            views: list[Command] = [("HINCRBY", self._open, str(post_id), n) for post_id, n in counts.items()]
            self._link.exchange(*views, ("EXPIRE", self._open, _DAY), again=False)

    def take(self, limit: int) -> ViewBatch | None:
        taken = self._run(_TAKE, (self._open, self._taken, self._number), limit)
        if taken is None:
            return None
        number, pairs = taken
        counts = {UUID(post.decode()): int(n) for post, n in zip(pairs[::2], pairs[1::2], strict=True)}
        return ViewBatch(int(number), counts)

    def done(self, number: int) -> None:
        self._run(_DONE, (self._taken, self._number), number)

    def _run(self, script: str, names: tuple[bytes, ...], argument: int) -> Any:
        """Run a script. Both may run twice: a batch that was taken is returned again."""
        [reply] = self._link.exchange(("EVALSHA", _SHA[script], len(names), *names, argument), again=True)
        return reply
