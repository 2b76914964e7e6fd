"""Limits in Redis: for each key the time at which its bucket is full, when the key also expires."""

import hashlib
from datetime import timedelta

from repositories.hot.encoding import text_bytes
from repositories.hot.limits_port import Limits, Rate, Verdict, verdict
from repositories.hot.redis.cluster import link_to
from repositories.hot.redis.store import RedisStore

# KEYS: the bucket. ARGV: seconds per request, seconds for the burst, whether to spend.
_TAKE = """
local time, each, room = redis.call('TIME'), tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local full = tonumber(redis.call('GET', KEYS[1]) or now)
local late = math.max(full - now, 0)
local allowed = late + each <= room + 0.000001
if allowed and ARGV[3] == '1' then
  late = late + each
  redis.call('SET', KEYS[1], string.format('%.6f', now + late), 'PX', math.ceil(late * 1000))
end
return {allowed and 1 or 0, string.format('%.6f', late)}
"""
_SHA = hashlib.sha1(_TAKE.encode()).hexdigest()  # noqa: S324  Redis names scripts so


class RedisLimits(RedisStore, Limits):
    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._link = link_to(url, role="cache", timeout=timeout, pool=pool, scripts=(_TAKE,))

    def take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict:
        """Not sent twice: it would count twice."""
        each = 1 / rate.per_second
        arguments = (repr(each), repr(each * rate.burst), int(spend))
        name = b"quartet:limit:" + text_bytes(key)
        [(allowed, late)] = self._link.exchange(("EVALSHA", _SHA, 1, name, *arguments), again=False)
        return verdict(float(late), rate, allowed=bool(allowed))
