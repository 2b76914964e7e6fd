"""View counts in SQL."""

from collections.abc import Collection, Mapping
from uuid import UUID

from repositories.documents.views_port import ViewStore
from repositories.sql import SqlDatabase, id_of


class SqlViews(ViewStore):
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def apply(self, number: int, counts: Mapping[UUID, int]) -> None:
        """In id order, since batches that lock rows in different orders could deadlock."""
        with self._database.write() as work:
            work.executemany(APPLY, [(post_id, n, number) for post_id, n in sorted(counts.items())])

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        found = self._database.rows(COUNTS, [list(post_ids)])
        return dict.fromkeys(post_ids, 0) | {id_of(post_id): n for post_id, n in found}

    def forget(self, post_id: UUID) -> None:
        with self._database.write() as work:
            work.execute("DELETE FROM documents_views WHERE post_id = ?", (post_id,))


APPLY = """
    INSERT INTO documents_views (post_id, n, batch) VALUES (?, ?, ?)
    ON CONFLICT (post_id) DO UPDATE SET n = documents_views.n + excluded.n, batch = excluded.batch
    WHERE documents_views.batch < excluded.batch
"""
COUNTS = "SELECT post_id, n FROM documents_views WHERE post_id = ANY (?)"
