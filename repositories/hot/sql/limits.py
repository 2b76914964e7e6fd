"""Rate limits in an SQL database: a bucket is stored as the time at which it is full."""

import itertools

from repositories.hot.encoding import text_bytes
from repositories.hot.limits_port import Limits, Rate, Verdict, verdict
from repositories.sql import SqlDatabase

# `full` is the time at which the bucket is full again; a bucket that is full starts at the current time.
_TAKE = """INSERT INTO hot_limits ("key", "full") VALUES (:key, now_seconds() + :each)
    ON CONFLICT ("key") DO UPDATE SET "full" = :each +
        CASE WHEN hot_limits."full" > excluded."full" - :each THEN hot_limits."full" ELSE excluded."full" - :each END
    WHERE hot_limits."full" <= excluded."full" - 2 * :each + :room
    RETURNING "full" - now_seconds()"""
_LATE = 'SELECT "full" - now_seconds() FROM hot_limits WHERE "key" = ?'
# A tolerance for rounding errors in sums of fractions.
_GRAIN = 1e-6
# Every this many calls full buckets are removed, at most this many of them.
_SWEEP_EVERY = 256
_SWEEP = f"""DELETE FROM hot_limits WHERE "full" <= now_seconds() AND "key" IN
    (SELECT "key" FROM hot_limits WHERE "full" <= now_seconds() LIMIT {_SWEEP_EVERY} FOR UPDATE SKIP LOCKED)
    RETURNING 1"""  # noqa: S608  our own text


class SqlLimits(Limits):
    _database: SqlDatabase

    def __init__(self) -> None:
        self._calls = itertools.count(1)

    def take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict:
        name, each = text_bytes(key), 1 / rate.per_second
        if next(self._calls) % _SWEEP_EVERY == 0:
            self._forget()
        room = each * rate.burst + _GRAIN
        taken = self._database.change(_TAKE, {"key": name, "each": each, "room": room}) if spend else []
        if taken:
            return verdict(max(taken[0][0], 0.0), rate, allowed=True)
        found = self._database.rows(_LATE, (name,))
        late = max(found[0][0], 0.0) if found else 0.0
        return verdict(late, rate, allowed=not spend and late + each <= room)

    def _forget(self) -> None:
        self._database.change(_SWEEP)
