"""View counts in SQLite."""

from collections.abc import Collection, Mapping
from uuid import UUID

from repositories.documents.views_port import ViewStore
from repositories.sqlite import SqliteFile

TABLE = """
    CREATE TABLE IF NOT EXISTS documents_views (
        post_id TEXT PRIMARY KEY, n INTEGER NOT NULL, batch INTEGER NOT NULL
    ) WITHOUT ROWID
    """
_CHUNK = 500


class EmbeddedViews(ViewStore):
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def apply(self, number: int, counts: Mapping[UUID, int]) -> None:
        sql = """INSERT INTO documents_views VALUES (?, ?, ?) ON CONFLICT (post_id) DO UPDATE
            SET n = n + excluded.n, batch = excluded.batch WHERE batch < excluded.batch"""
        with self._file.write() as connection:
            connection.executemany(sql, [(str(post), n, number) for post, n in counts.items()])

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        ids, found = [str(post) for post in post_ids], dict[UUID, int]()
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            marks = ",".join("?" * len(part))
            sql = f"SELECT post_id, n FROM documents_views WHERE post_id IN ({marks})"  # noqa: S608  marks only
            found.update({UUID(post): n for post, n in self._file.rows(sql, part)})
        return dict.fromkeys(post_ids, 0) | found

    def forget(self, post_id: UUID) -> None:
        with self._file.write() as connection:
            connection.execute("DELETE FROM documents_views WHERE post_id = ?", (str(post_id),))
