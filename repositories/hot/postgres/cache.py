"""The cache in PostgreSQL: one row for each key, with its value and its lease, and one epoch for all.

Every operation is one statement, so it takes one round trip and leaves no transaction open.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from repositories.errors import Unavailable
from repositories.hot.encoding import (
    GENERATION_SECONDS,
    LARGEST,
    LEASE_SECONDS,
    fresh_of,
    new_token,
    text_bytes,
    value_bytes,
    value_of,
)
from repositories.hot.port import Cache, Fill, Held
from repositories.hot.postgres import cache_statements as sql
from repositories.hot.postgres import schema
from repositories.hot.postgres.database import Contending, HotDatabase
from repositories.hot.sql.moving_cache import SqlCachePlace
from repositories.moving.postgres import PostgresEngine
from repositories.sql import Row, SqlBacked

_SWEEP_EVERY = 16
# The tables of all stores at the URL of the cache.
_ALL = "hot_cache", "hot_epoch", "hot_streams", "hot_stream_events", "hot_limits", "hot_views"


class PostgresCache(SqlBacked, Cache):
    """A value and its lease are in one row, whose lock orders concurrent calls: a fill that waited for a drop finds no
    lease, and a drop that waited for a fill removes what was filled.

    What has another epoch than the current one counts as missing. The tables are unlogged: a crash of the server, or of
    one of its processes, empties them, and so does a failover. That removes the leases too, so late fills are refused.
    """

    _tables = schema.CACHE

    def __init__(self, database: HotDatabase, *, lease: float = LEASE_SECONDS) -> None:
        self._database = database
        self._lease = lease
        self.place = SqlCachePlace(Contending(database), PostgresEngine(), _ALL, self.void)
        # The epoch at the last read.
        self._epoch = b""
        self._fills = itertools.count(1)

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        names = [text_bytes(key) for key in keys]
        if not names:
            return []
        found: dict[bytes, Held | None] = {}
        for epoch, key, *row in self._database.rows(sql.READ, {"keys": sorted(set(names))}):
            self._epoch = epoch
            found[key] = _held(row)
        return [found.get(name) for name in names]

    def whole(self, key: str, *, exact: bool = False) -> Held | None:  # noqa: ARG002  nothing is answered from memory
        name = text_bytes(key)
        for epoch, found, changed, *row in self._database.rows(sql.WHOLE, {"key": name}):
            self._epoch = epoch
            if changed:
                self._database.change(sql.FORGET, {"key": name, "stamp": row[0]})
            elif found is not None:
                return _held(row)
        return None

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        if not seen:
            return []
        names = {text_bytes(key): stamp for key, stamp in seen.items()}
        asked = {
            "keys": sorted(names),
            "seen": [names[name] for name in sorted(names)],
            "token": new_token(),
            "lease": self._lease,
            "generation": GENERATION_SECONDS,
        }
        rows = self._database.change(sql.LEASE, asked)
        if not rows:
            # There is no epoch: the tables are new, or were emptied.
            self._database.change(sql.FIRST_EPOCH, (new_token(),))
            rows = self._database.change(sql.LEASE, asked)
        found: dict[bytes, Held | bytes | None] = {}
        for epoch, key, lease, *row in rows:
            self._epoch = epoch
            found[key] = lease if lease is not None else _held(row)
        return [found.get(name) for name in names]

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        if not fills:
            return set()
        names = {text_bytes(key): key for key in fills}
        rows = self._database.change(sql.FILL, _filling([(name, fills[names[name]]) for name in sorted(names)]))
        if next(self._fills) % _SWEEP_EVERY == 0:
            self._sweep()
        return {names[name] for name, stored in rows if stored}

    def release(self, leases: Mapping[str, bytes]) -> None:
        if leases:
            names = {text_bytes(key): lease for key, lease in leases.items()}
            ordered = sorted(names)
            self._database.change(sql.RELEASE, {"keys": ordered, "leases": [names[name] for name in ordered]})

    def drop(self, keys: Collection[str]) -> None:
        if keys:
            self._database.change(sql.DROP, {"keys": _sorted(keys)})

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        if keys:
            room = most - len(more)
            asked = {"keys": _sorted(keys), "more": more, "room": room, "token": new_token()}
            self._database.change(sql.EXTEND, asked)

    def void(self, *, unless_done: bool = False) -> None:
        seen = self._epoch if unless_done else b""
        self._database.change(sql.VOID, {"token": new_token(), "seen": seen})

    def outwait(self) -> None:
        """Does not wait: nothing is answered from memory."""

    def _sweep(self) -> None:
        try:
            self._database.change(sql.SWEEP)
        except Unavailable:
            # The fill itself has succeeded, and a later fill sweeps again.
            return


def _sorted(keys: Collection[str]) -> list[bytes]:
    """The keys in the same order everywhere, since otherwise two statements could deadlock."""
    return sorted({text_bytes(key) for key in keys})


def _held(row: Sequence[Any] | Row) -> Held | None:
    """`row` has stamp, record, seconds until it is due and since it was stored, and what was added; or five nulls."""
    stamp, record, left, age, more = row
    value = None if record is None else value_of(record)
    return None if value is None else Held(value, left, stamp, max(age, 0.0), more)


def _filling(fills: Sequence[tuple[bytes, Fill]]) -> dict[str, Any]:
    """The parameters of `FILL`. A value that is too large or too late has the record None: its lease ends unfilled."""
    records = [value_bytes(fill.value) for _, fill in fills]
    fresh = [fresh_of(fill) for _, fill in fills]
    parts = [(name, text_bytes(part), stamp) for name, fill in fills for part, stamp in fill.parts.items()]
    return {
        "keys": [name for name, _ in fills],
        "leases": [fill.lease for _, fill in fills],
        "records": [
            record if len(record) <= LARGEST and (seconds > 0 or fill.since is None) else None
            for record, seconds, (_, fill) in zip(records, fresh, fills, strict=True)
        ],
        "fresh": fresh,
        "lasts": [seconds + fill.stale for seconds, (_, fill) in zip(fresh, fills, strict=True)],
        "owners": [owner for owner, _, _ in parts],
        "parts": [part for _, part, _ in parts],
        "stamps": [stamp for _, _, stamp in parts],
    }
