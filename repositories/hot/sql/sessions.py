"""Sessions in an SQL database."""

from datetime import datetime
from uuid import UUID

from repositories.errors import MovedAway
from repositories.hot.encoding import live_session, live_sessions, session_bytes, session_seconds
from repositories.hot.port import SessionStore
from repositories.moving.gate import REFUSAL
from repositories.moving.places import CLOSED
from repositories.read_your_writes import KEPT_SECONDS, Positions
from repositories.records.people import Session
from repositories.sql import Row, SqlDatabase, SqlWork

_SWEPT = 100
# The expiry of an account's positions is extended in steps of this many seconds, to save updates of the index on it.
_STEP = 600.0
_REPLACED = "DELETE FROM hot_sessions WHERE digest = ? OR (account_id = ? AND id = ?)"
_ADD = "INSERT INTO hot_sessions VALUES (?, ?, ?, ?, now_seconds() + ?)"
_STATE = "(SELECT state FROM moving_marks WHERE role = 'sessions')"
_FIND = f"SELECT record, {_STATE} FROM hot_sessions WHERE digest = ? AND forget_at > now_seconds()"  # noqa: S608  our own text
_FIND_SEEN = f"""SELECT s.record, {_STATE}, p.store, p.position FROM hot_sessions AS s LEFT JOIN hot_seen AS p
    ON p.account_id = s.account_id AND p.forget_at > now_seconds()
    WHERE s.digest = ? AND s.forget_at > now_seconds()"""  # noqa: S608  our own text
_NOTE_SEEN = """INSERT INTO hot_seen VALUES (:account, :store, :position, now_seconds() + :kept)
    ON CONFLICT (account_id, store) DO UPDATE SET
    position = CASE WHEN hot_seen.position > excluded.position THEN hot_seen.position ELSE excluded.position END,
    forget_at = CASE WHEN hot_seen.forget_at > excluded.forget_at - :step THEN hot_seen.forget_at
        ELSE excluded.forget_at END"""
_OF_ACCOUNT = f"SELECT record, {_STATE} FROM hot_sessions WHERE account_id = ? AND forget_at > now_seconds()"  # noqa: S608  our own text
_NOTE_USE = "UPDATE hot_sessions SET record = ? WHERE digest = ? RETURNING 1"
_END = "DELETE FROM hot_sessions WHERE account_id = ? AND id = ? AND forget_at > now_seconds() RETURNING 1"
_END_ALL = "DELETE FROM hot_sessions WHERE account_id = ? AND id <> ? RETURNING 1"


class SqlSessions(SessionStore):
    """As in Redis, a session is kept for its lifetime (`expires_at - created_at`) plus an hour, counted from `add` by
    the database's clock; whether it is live is decided by the caller's `now`.
    """

    _database: SqlDatabase
    _seen: bool

    def add(self, session: Session, digest: bytes) -> None:
        account, own, record = session.account_id.bytes, session.id.bytes, session_bytes(session)
        with self._database.write() as work:
            self._forget(work, "hot_sessions", "digest")
            work.execute(_REPLACED, (digest, account, own))
            work.execute(_ADD, (digest, account, own, record, session_seconds(session)))

    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        rows = self._unless_moved(self._database.rows(_FIND_SEEN if self._seen else _FIND, (digest,)))
        seen = [(store, position) for _, _, store, position in rows if store] if self._seen else ()
        return live_session(rows[0][0], now, seen) if rows else None

    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        own = {"account": account_id.bytes, "kept": KEPT_SECONDS + _STEP, "step": _STEP}
        # In the same order everywhere, since otherwise two transactions could deadlock.
        rows = [own | {"store": store, "position": position} for store, position in sorted(positions.items())]
        with self._database.write() as work:
            self._forget(work, "hot_seen", "account_id")
            work.executemany(_NOTE_SEEN, rows)

    def note_use(self, session: Session, digest: bytes) -> None:
        self._database.change(_NOTE_USE, (session_bytes(session), digest))

    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        rows = self._unless_moved(self._database.rows(_OF_ACCOUNT, (account_id.bytes,)))
        return live_sessions([record for record, _ in rows], now)

    def end(self, account_id: UUID, session_id: UUID) -> bool:
        return bool(self._database.change(_END, (account_id.bytes, session_id.bytes)))

    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        self._database.change(_END_ALL, (account_id.bytes, keep.bytes if keep else b""))

    def _unless_moved(self, rows: list[Row]) -> list[Row]:
        """Check rows with `_STATE` in the second column. Raises `MovedAway`: sessions may have changed elsewhere."""
        if (rows[0][1] if rows else self._database.rows(f"SELECT {_STATE}")[0][0]) in CLOSED:
            raise MovedAway("sessions", REFUSAL)
        return rows

    def _forget(self, work: SqlWork, table: str, key: str) -> None:
        due = f"SELECT {key} FROM {table} WHERE forget_at <= now_seconds() LIMIT {_SWEPT} FOR UPDATE SKIP LOCKED"  # noqa: S608  our own names
        work.execute(f"DELETE FROM {table} WHERE forget_at <= now_seconds() AND {key} IN ({due})")  # noqa: S608  our own names
