"""Sessions in an SQL database as a place of a move."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from repositories.batched import batched
from repositories.dump_port import Load, RecordKind
from repositories.hot.moved_sessions import KINDS, KeptSeen, KeptSession, compared, kept, key_of, seconds_left
from repositories.moving.gate import Engine, Noted, SqlGate
from repositories.moving.places import Changed, Key, Mark, OfKeys
from repositories.moving.sql_places import PlaceDatabase, SqlPlace
from repositories.read_your_writes import KEPT_SECONDS
from repositories.sql import Row, SqlWork

ROLE = "sessions"
BATCH = 500
_TABLES = {"sessions": "hot_sessions", "seen": "hot_seen"}
_PAGES = {
    "sessions": """SELECT digest, record FROM hot_sessions
        WHERE digest > ? AND forget_at > now_seconds() ORDER BY digest LIMIT ?""",
    "seen": """SELECT account_id, store, position FROM hot_seen
        WHERE (account_id, store) > (?, ?) AND forget_at > now_seconds() ORDER BY account_id, store LIMIT ?""",
}
_FIRST: dict[str, tuple[Any, ...]] = {"sessions": (b"",), "seen": (b"", "")}
_OF_KEY = {
    "sessions": "SELECT digest, record FROM hot_sessions WHERE digest = ? AND forget_at > now_seconds()",
    "seen": """SELECT account_id, store, position FROM hot_seen
        WHERE account_id = ? AND store = ? AND forget_at > now_seconds()""",
}
_REMOVE = {
    "sessions": "DELETE FROM hot_sessions WHERE digest = ?",
    "seen": "DELETE FROM hot_seen WHERE account_id = ? AND store = ?",
}
_PUT = {
    "sessions": "INSERT INTO hot_sessions VALUES (?, ?, ?, ?, now_seconds() + ?)",
    "seen": "INSERT INTO hot_seen VALUES (?, ?, ?, now_seconds() + ?)",
}


def noted(binary: str) -> list[Noted]:
    """The tables whose changes are noted. `binary` is the engine's expression for a binary value as text in JSON."""
    account = binary.format("{row}.account_id")
    return [
        Noted("hot_sessions", "'sessions'", [binary.format("{row}.digest")]),
        Noted("hot_seen", "'seen'", [account, "{row}.store"]),
    ]


class SqlSessionsPlace(SqlPlace):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(
        self, database: PlaceDatabase, engine: Engine, noted_: Sequence[Noted], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._clock = clock
        self._gate = SqlGate(database, engine, ROLE, noted_)

    def key(self, kind: str, record: Any) -> Key:
        return key_of(kind, record)

    def compared(self, kind: str, record: Any) -> Any:
        return compared(kind, record, self._clock())

    def is_empty(self) -> bool:
        return not self._database.rows(_PAGES["sessions"], (b"", 1))

    def receive(self, mark: Mark) -> None:
        self._gate.close(mark)
        with self._own() as work:
            for table in _TABLES.values():
                work.execute(f"DELETE FROM {table}")  # noqa: S608  our names

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield self._load

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            for some in batched(sorted(keys), BATCH):
                records = of_keys(kind, some)
                with self._own() as work:
                    work.executemany(_REMOVE[kind], [_columns(kind, key) for key in some])
                    work.executemany(_PUT[kind], [self._row(one) for one in records])

    def _load(self, kind: str, records: Sequence[Any]) -> None:
        with self._own() as work:
            work.executemany(_PUT[kind], [self._row(one) for one in records])

    def _row(self, one: KeptSession | KeptSeen) -> Row:
        if isinstance(one, KeptSeen):
            return one.account_id.bytes, one.store, one.position, KEPT_SECONDS
        left = seconds_left(one, self._clock())
        return bytes.fromhex(one.digest), one.account_id.bytes, one.id.bytes, one.record.encode(), left

    def _key(self, kind: str, noted: list[Any]) -> Key:
        first, *rest = noted
        first = first.removeprefix("\\x").lower()
        return (str(UUID(first)), *rest) if kind == "seen" else (first,)

    def _records(self, work: SqlWork, kind: str) -> Iterator[Sequence[Any]]:
        after = _FIRST[kind]
        while rows := work.execute(_PAGES[kind], (*after, BATCH)).fetchall():
            yield _made(kind, rows)
            after = rows[-1][: len(after)]

    def _of_keys(self, work: SqlWork, kind: str, keys: Sequence[Key]) -> list[Any]:
        found = (work.execute(_OF_KEY[kind], _columns(kind, key)).fetchone() for key in keys)
        return _made(kind, [row for row in found if row])


def _made(kind: str, rows: Sequence[Row]) -> list[Any]:
    if kind == "seen":
        return [KeptSeen(UUID(bytes=account), store, position) for account, store, position in rows]
    read = (kept(digest.hex(), record) for digest, record in rows)
    return [one for one in read if one]


def _columns(kind: str, key: Key) -> Row:
    return (UUID(key[0]).bytes, key[1]) if kind == "seen" else (bytes.fromhex(key[0]),)
