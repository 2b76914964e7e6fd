"""Documents in SQL as a place of a move. A record is a document with its tags or attributes and its unsent events."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from repositories.batched import batched
from repositories.documents.dump_records import KINDS, key_of
from repositories.documents.sql.dump import LOADS, DocumentsDump, made, records
from repositories.dump_port import Load, RecordKind
from repositories.moving.gate import Engine, Noted, SqlGate
from repositories.moving.places import Changed, Key, Mark, OfKeys
from repositories.moving.sql_places import SqlPlace
from repositories.sql import SqlDatabase, SqlWork

SOME = 500
_TABLES = {
    "posts": ("'posts'", "{row}.id", "0"),
    "tags": ("'posts'", "{row}.post_id", "0"),
    "comments": ("'comments'", "{row}.post_id", "{row}.number"),
    "products": ("'products'", "{row}.id", "0"),
    "attributes": ("'products'", "{row}.product_id", "0"),
    "views": ("'views'", "{row}.post_id", "0"),
    "events": ("{row}.kind || 's'", "{row}.document_id", "{row}.number"),
}
NOTED = [Noted(f"documents_{name}", kind, key) for name, (kind, *key) in _TABLES.items()]
_OF_KEY = {
    "posts": """
        SELECT id, version, comments, comment_seq, deleted_at, document FROM documents_posts
        WHERE id = :id AND :number = 0
    """,
    "comments": """
        SELECT post_id, number, deleted_at, document FROM documents_comments WHERE post_id = :id AND number = :number
    """,
    "products": """
        SELECT id, version, deleted_at, document FROM documents_products WHERE id = :id AND :number = 0
    """,
    "views": "SELECT post_id, n, batch FROM documents_views WHERE post_id = :id AND :number = 0",
}
_EVENTS = "DELETE FROM documents_events WHERE kind = '{}' AND document_id = :id AND number = :number"
_REMOVE = {
    "posts": (
        "DELETE FROM documents_posts WHERE id = :id",
        "DELETE FROM documents_tags WHERE post_id = :id",
        _EVENTS.format("post"),
    ),
    "comments": (
        "DELETE FROM documents_comments WHERE post_id = :id AND number = :number",
        _EVENTS.format("comment"),
    ),
    "products": (
        "DELETE FROM documents_products WHERE id = :id",
        "DELETE FROM documents_attributes WHERE product_id = :id",
        _EVENTS.format("product"),
    ),
    "views": ("DELETE FROM documents_views WHERE post_id = :id",),
}


class DocumentsPlace(SqlPlace):
    """The documents of one database. `empty` is the beginning of the statement that removes all rows of a table."""

    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, database: SqlDatabase, engine: Engine, dump: DocumentsDump, empty: str = "DELETE FROM") -> None:
        self._database = database
        self._gate = SqlGate(database, engine, "documents", NOTED)
        self._dump = dump
        self._empty = empty

    def key(self, kind: str, record: Any) -> Key:
        return key_of(kind, record)

    def is_empty(self) -> bool:
        return self._dump.is_empty()

    def receive(self, mark: Mark) -> None:
        self._gate.close(mark)
        for noted in NOTED:
            with self._own() as work:
                work.execute(f"{self._empty} {noted.table}")

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        def load(kind: str, records: Sequence[Any]) -> None:
            for some in batched(records, SOME):
                with self._own() as work:
                    LOADS[kind](work, some)

        yield load

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            for some in batched(keys, SOME):
                with self._own() as work:
                    for statement in _REMOVE[kind]:
                        work.executemany(statement, [{"id": own_id, "number": number} for own_id, number in some])
                    LOADS[kind](work, of_keys(kind, some))

    def _key(self, kind: str, noted: list[Any]) -> Key:  # noqa: ARG002  all kinds have one form
        return UUID(noted[0]), noted[1]

    def _records(self, work: SqlWork, kind: str) -> Iterator[Sequence[Any]]:
        return records(work, kind)

    def _of_keys(self, work: SqlWork, kind: str, keys: Sequence[Key]) -> list[Any]:
        rows = [
            row
            for own_id, number in keys
            for row in work.execute(_OF_KEY[kind], {"id": own_id, "number": number}).fetchall()
        ]
        return made(work, kind, rows)
