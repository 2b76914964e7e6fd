"""The live streams in PostgreSQL."""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from repositories.errors import Conflict
from repositories.hot.postgres import schema
from repositories.hot.postgres.database import HotDatabase
from repositories.hot.postgres.wakes import Wakes
from repositories.hot.sql.streams import Numbered, SqlStreams
from repositories.hot.streams_port import KEPT, LiveEvent, Position
from repositories.sql import SqlBacked

_HEADS = """SELECT account_id, epoch, number FROM hot_streams
    WHERE account_id = ANY (?::bytea[]) AND expires_at > now_seconds()"""
# Of two concurrent appends of one event, the second waits for the first, does not see its row, and gets `Conflict`.
_APPEND = f"""WITH locked AS (
        SELECT account_id FROM hot_streams
        WHERE account_id = ANY (:accounts::bytea[]) AND expires_at > now_seconds() ORDER BY account_id FOR UPDATE),
    bumped AS (
        UPDATE hot_streams AS s SET number = s.number + 1 FROM locked AS l WHERE s.account_id = l.account_id
            AND NOT EXISTS (SELECT 1 FROM hot_stream_events AS e WHERE e.account_id = s.account_id AND e.key = :key)
        RETURNING s.account_id, s.number),
    added AS (INSERT INTO hot_stream_events SELECT account_id, number, :key, :name, :data FROM bumped),
    trimmed AS (
        DELETE FROM hot_stream_events AS e USING bumped AS b
        WHERE e.account_id = b.account_id AND e.number <= b.number - {KEPT})
    SELECT account_id FROM bumped"""  # noqa: S608  our own text
_EVENTS = """SELECT b.place, e.number, e.key, e.name, e.data
    FROM unnest(:accounts::bytea[], :epochs::text[], :numbers::bigint[])
        WITH ORDINALITY AS b (account_id, epoch, number, place)
    JOIN hot_streams AS s ON s.account_id = b.account_id AND s.epoch = b.epoch
    CROSS JOIN LATERAL (
        SELECT number, key, name, data FROM hot_stream_events AS e
        WHERE e.account_id = b.account_id AND e.number > b.number ORDER BY e.number LIMIT :limit) AS e
    ORDER BY b.place, e.number"""


class PostgresStreams(SqlBacked, SqlStreams):
    """Readers are woken by notifications, which only say who got an event; the event is read from the tables.

    So a lost notification only delays its event until the next poll.
    """

    _tables = schema.STREAMS
    _step = 120.0

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
        self._wakes = Wakes(database)

    def watch(self, appended: Callable[[Collection[UUID]], None]) -> bool:
        return self._wakes.watch(appended)

    def close(self) -> None:
        self._wakes.close()
        super().close()

    def _heads(self, account_ids: Collection[UUID]) -> dict[UUID, Position]:
        rows = self._database.rows(_HEADS, (_raw(account_ids),))
        return {UUID(bytes=raw): Position(epoch, number) for raw, epoch, number in rows}

    def _append(self, account_ids: Sequence[UUID], event: LiveEvent) -> None:
        key, name = event.key.encode(), event.name.encode()
        asked = {"accounts": _raw(account_ids), "key": key, "name": name, "data": event.data}
        try:
            rows = self._database.change(_APPEND, asked)
        except Conflict:
            rows = self._database.change(_APPEND, asked)
        if rows:
            self._wakes.notify([UUID(bytes=raw) for (raw,) in rows])

    def _events(self, behind: Sequence[tuple[UUID, Position]], limit: int) -> list[Numbered]:
        if not behind:
            return []
        asked = {
            "accounts": [account_id.bytes for account_id, _ in behind],
            "epochs": [at.epoch for _, at in behind],
            "numbers": [at.number for _, at in behind],
            "limit": limit,
        }
        found: list[list[tuple[int, LiveEvent]]] = [[] for _ in behind]
        for place, number, key, name, data in self._database.rows(_EVENTS, asked):
            found[place - 1].append((number, LiveEvent(key.decode(), name.decode(), data)))
        return list(found)


def _raw(account_ids: Collection[UUID]) -> list[bytes]:
    return sorted(account_id.bytes for account_id in account_ids)
