"""Feeds in an SQL database as a place of a move."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from repositories.batched import batched
from repositories.dump_port import Load, RecordKind
from repositories.feeds.moved_records import (
    KINDS,
    KeptAuthorEntry,
    KeptHomeEntry,
    KeptNotification,
    KeptReadMarker,
    KeptTrim,
    compared,
    is_kept,
)
from repositories.feeds.retention import Retention
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.statements import (
    AUTHOR_ADD,
    HOME_ADD,
    HOME_REMOVE,
    HOME_TRIM,
    MOVED_NOTIFICATION,
    NEVER,
    NOTIFICATION_REMOVE,
    READ_MARK,
)
from repositories.moving.gate import Engine, Noted, SqlGate
from repositories.moving.places import Changed, Key, Mark, OfKeys
from repositories.moving.sql_places import SqlPlace
from repositories.sql import Parameters, Row, SqlDatabase, SqlWork

ROLE = "feeds"
BATCH = 1000
# The number of keys that one statement reads.
SOME = 100


class _FeedTable(NamedTuple):
    """`select` is a statement up to its condition; its first columns are the `keys`."""

    select: str
    keys: tuple[str, ...]


_KINDS = {
    "trims": _FeedTable("SELECT owner, at FROM feeds_trimmed", ("owner",)),
    "author timelines": _FeedTable("SELECT author, post, written, removed FROM feeds_author", ("author", "post")),
    "home timelines": _FeedTable(
        """SELECT owner, post, author, written, removed,
        (SELECT at FROM feeds_trimmed AS t WHERE t.owner = h.owner) FROM feeds_home AS h""",
        ("owner", "post"),
    ),
    "notifications": _FeedTable(
        """SELECT owner, id, kind, subject, actor, at_us, number, detail, noted, written, removed
        FROM feeds_notifications""",
        ("owner", "id"),
    ),
    "read markers": _FeedTable("SELECT owner, id FROM feeds_read", ("owner",)),
}
_TABLES = {
    "trims": "feeds_trimmed",
    "author timelines": "feeds_author",
    "home timelines": "feeds_home",
    "notifications": "feeds_notifications",
    "read markers": "feeds_read",
}


def noted(binary: str) -> list[Noted]:
    """The tables whose changes are noted. `binary` is the engine's expression for an id as text in JSON."""
    return [
        Noted(table, f"'{kind}'", [binary.format(f"{{row}}.{key}") for key in _KINDS[kind].keys])
        for kind, table in _TABLES.items()
    ]


class SqlFeedsPlace(SqlPlace):
    """`empty` is the statement that removes all rows of a table."""

    kinds: Sequence[RecordKind] = KINDS

    def __init__(
        self,
        database: SqlDatabase,
        feeds: FeedDatabase,
        retention: Retention,
        engine: Engine,
        noted_: Sequence[Noted],
        empty: str,
    ) -> None:
        self._database = database
        self._feeds = feeds
        self._retention = retention
        self._gate = SqlGate(database, engine, ROLE, noted_)
        self._empty = empty

    def key(self, kind: str, record: Any) -> Key:  # noqa: ARG002  each knows its own
        key: Key = record.key
        return key

    def compared(self, kind: str, record: Any) -> Any:  # noqa: ARG002  each knows its own
        return compared(record, self._retention)

    def is_empty(self) -> bool:
        return not any(self._database.rows(f"SELECT 1 FROM {table} LIMIT 1") for table in _TABLES.values())  # noqa: S608  our names

    def receive(self, mark: Mark) -> None:
        self._gate.close(mark)
        for table in _TABLES.values():
            with self._own() as work:
                work.execute(self._empty.format(table))

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield self._merge

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            self._merge(kind, of_keys(kind, list(keys)))

    def _merge(self, kind: str, records: Sequence[Any]) -> None:
        for some in batched(records, BATCH):
            with self._own() as work:
                self._merged[kind](self, work, some)

    def _key(self, kind: str, noted: list[Any]) -> Key:  # noqa: ARG002  all parts are ids
        return tuple(map(UUID, noted))

    def _records(self, work: SqlWork, kind: str) -> Iterator[Sequence[Any]]:
        select, keys = _KINDS[kind]
        names, marks = ", ".join(keys), ", ".join("?" * len(keys))
        page = f"{select} WHERE ({names}) > ({marks}) ORDER BY {names} LIMIT ?"
        after = (self._feeds.key(UUID(int=0)),) * len(keys)
        while rows := work.execute(page, (*after, BATCH)).fetchall():
            yield self._made(kind, rows)
            after = rows[-1][: len(keys)]

    def _of_keys(self, work: SqlWork, kind: str, keys: Sequence[Key]) -> list[Any]:
        select, names = _KINDS[kind]
        marks = ", ".join([f"({', '.join('?' * len(names))})"] * SOME)
        statement = f"{select} WHERE ({', '.join(names)}) IN (VALUES {marks})"
        found: list[Row] = []
        for some in batched(keys, SOME):
            # Padded with the last key, so that the statement has one text for any number of keys.
            asked = [self._feeds.key(part) for key in (*some, *[some[-1]] * (SOME - len(some))) for part in key]
            found += work.execute(statement, asked).fetchall()
        return self._made(kind, found)

    def _made(self, kind: str, rows: Sequence[Row]) -> list[Any]:
        made = (_MAKE[kind](self._feeds.uuid, *row) for row in rows)
        return [one for one in made if is_kept(one, self._retention)]

    def _merge_trims(self, work: SqlWork, records: Sequence[KeptTrim]) -> None:
        work.executemany(HOME_TRIM, [(self._feeds.key(one.owner_id), one.stamp) for one in records])

    def _merge_author(self, _work: SqlWork, records: Sequence[KeptAuthorEntry]) -> None:
        key = self._feeds.key
        self._feeds.upsert(AUTHOR_ADD, [(key(one.author_id), key(one.post_id), *_times(one)) for one in records])

    def _merge_home(self, work: SqlWork, records: Sequence[KeptHomeEntry]) -> None:
        key = self._feeds.key
        known = [
            (key(one.owner_id), key(one.post_id), key(one.author_id), *_times(one))
            for one in records
            if one.author_id is not None
        ]
        if known:
            self._feeds.upsert(HOME_ADD, known)
        work.executemany(HOME_REMOVE, self._removals([one for one in records if one.author_id is None]))

    def _merge_notifications(self, work: SqlWork, records: Sequence[KeptNotification]) -> None:
        key = self._feeds.key
        known = [(one, one.activity) for one in records if one.activity]
        if known:
            rows = [
                (
                    *(key(one.owner_id), key(one.id), kind, key(subject), key(actor), at_us, number, detail),
                    *(key(one.noted) if one.noted else None, *_times(one)),
                )
                for one, (kind, subject, actor, at_us, number, detail) in known
            ]
            self._feeds.upsert(MOVED_NOTIFICATION, rows)
        work.executemany(NOTIFICATION_REMOVE, self._removals([one for one in records if one.activity is None]))

    def _merge_markers(self, work: SqlWork, records: Sequence[KeptReadMarker]) -> None:
        work.executemany(READ_MARK, [(self._feeds.key(one.owner_id), self._feeds.key(one.id)) for one in records])

    def _removals(self, records: Sequence[Any]) -> list[Parameters]:
        key = self._feeds.key
        return [{"key": key(one.key[0]), "post": key(one.key[1]), "at": one.stamp} for one in records]

    _merged: dict[str, Callable[["SqlFeedsPlace", SqlWork, Any], None]] = {  # noqa: RUF012  a constant
        "trims": _merge_trims,
        "author timelines": _merge_author,
        "home timelines": _merge_home,
        "notifications": _merge_notifications,
        "read markers": _merge_markers,
    }


Uuid = Callable[[Any], UUID]


def _home(uuid: Uuid, owner: Any, post: Any, author: Any, written: int, removed: int, at: int | None) -> Any:
    gone = max(removed, NEVER if at is None else at)
    return KeptHomeEntry(uuid(owner), uuid(post), uuid(author), max(written, gone), written > gone)


def _notification(uuid: Uuid, owner: Any, own: Any, *columns: Any) -> Any:
    kind, subject, actor, at_us, number, detail, noted_, written, removed = columns
    activity = (kind, uuid(subject), uuid(actor), at_us, number, detail)
    since = uuid(noted_) if noted_ else None
    return KeptNotification(uuid(owner), uuid(own), activity, since, max(written, removed), written > removed)


_MAKE: dict[str, Callable[..., Any]] = {
    "trims": lambda uuid, owner, at: KeptTrim(uuid(owner), at),
    "author timelines": lambda uuid, author, post, written, removed: KeptAuthorEntry(
        uuid(author), uuid(post), max(written, removed), written > removed
    ),
    "home timelines": _home,
    "notifications": _notification,
    "read markers": lambda uuid, owner, own: KeptReadMarker(uuid(owner), uuid(own)),
}


def _times(one: Any) -> tuple[int, int]:
    """The values of `written` and `removed`."""
    return (one.stamp, NEVER) if one.live else (NEVER, one.stamp)
