"""The live streams in an SQL database: heads and events in two tables.

A writer locks the head of a stream before it changes its events, or is the only writer.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from repositories.batched import batched
from repositories.hot.encoding import text_bytes
from repositories.hot.streams_port import LISTENING, Delta, LiveEvent, Position, Streams, gone, lost, new_epoch
from repositories.sql import SqlDatabase

_CHUNK = 1000
_SWEPT = 100
_LISTEN = """INSERT INTO hot_streams VALUES (:account, :epoch, 0, now_seconds() + :lasts)
    ON CONFLICT (account_id) DO UPDATE SET expires_at = CASE
        WHEN hot_streams.expires_at > excluded.expires_at - :step THEN hot_streams.expires_at
        ELSE excluded.expires_at END
    RETURNING epoch, number"""
_REMOVE_ENDED = "DELETE FROM hot_streams WHERE account_id = ? AND expires_at <= now_seconds() RETURNING account_id"
_SWEEP = f"""DELETE FROM hot_streams WHERE expires_at <= now_seconds() AND account_id IN
    (SELECT account_id FROM hot_streams WHERE expires_at <= now_seconds() LIMIT {_SWEPT} FOR UPDATE SKIP LOCKED)
    RETURNING account_id"""  # noqa: S608  our own text
_LISTENERS = """SELECT account_id FROM hot_streams WHERE account_id > ? AND expires_at > now_seconds()
    ORDER BY account_id LIMIT ?"""
# The events of a reader who is behind, each with its number.
Numbered = Sequence[tuple[int, LiveEvent]]


class SqlStreams(Streams):
    # Seconds: the end of listening is extended in steps of this size, and is later by as much.
    _step = 0.0
    _database: SqlDatabase

    def listen(self, account_id: UUID) -> Position:
        own, lasts = account_id.bytes, LISTENING.total_seconds() + self._step
        asked = {"account": own, "epoch": new_epoch(), "lasts": lasts, "step": self._step}
        with self._database.write() as work:
            over = [*work.execute(_REMOVE_ENDED, (own,)), *work.execute(_SWEEP)]
            work.executemany("DELETE FROM hot_stream_events WHERE account_id = ?", over)
            epoch, number = work.execute(_LISTEN, asked).fetchone()
        return Position(epoch, number)

    def listeners(self, *, after: UUID | None, limit: int) -> list[UUID]:
        rows = self._database.rows(_LISTENERS, (after.bytes if after else b"", limit))
        return [UUID(bytes=raw) for (raw,) in rows]

    def append(self, account_ids: Collection[UUID], event: LiveEvent) -> None:
        text_bytes(event.key + event.name)
        for some in batched(dict.fromkeys(account_ids), _CHUNK):
            self._append(some, event)

    def since(self, positions: Sequence[tuple[UUID, Position]], *, limit: int) -> list[Delta]:
        if not positions:
            return []
        heads = self._heads({account_id for account_id, _ in positions})
        known = [(heads.get(account_id), at) for account_id, at in positions]
        behind = [
            index for index, (end, at) in enumerate(known) if end and end.epoch == at.epoch and end.number > at.number
        ]
        found = dict(zip(behind, self._events([positions[index] for index in behind], limit), strict=True))
        return [_delta(end, at, found.get(index)) for index, (end, at) in enumerate(known)]

    @abstractmethod
    def _heads(self, account_ids: Collection[UUID]) -> Mapping[UUID, Position]:
        """The ends of the streams of those accounts that listen."""

    @abstractmethod
    def _append(self, account_ids: Sequence[UUID], event: LiveEvent) -> None:
        """Add the event to the streams of those accounts that listen, unless it is there already."""

    @abstractmethod
    def _events(self, behind: Sequence[tuple[UUID, Position]], limit: int) -> Sequence[Numbered]:
        """The events after each position in its epoch, the oldest `limit` each."""


def _delta(end: Position | None, at: Position, found: Numbered | None) -> Delta:
    if end is None:
        return gone()
    if end == at:
        return Delta(end, (), lost=False)
    if not found or found[0][0] != at.number + 1:
        return lost(end)
    return Delta(Position(at.epoch, found[-1][0]), tuple(event for _, event in found), lost=False)
