"""Comments in SQLite: a table of their own, keyed by post and number; number and count live in the post.

Comments are read through their post, so that they vanish with it at once.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from repositories.documents.embedded.events import EmbeddedCarrier, append, array
from repositories.documents.embedded.versioned_writes import LOADED_AT_ONCE, encoded, query
from repositories.documents.port import CommentStore
from repositories.documents.times import micros
from repositories.errors import NotFound
from repositories.records import Comment, Event
from repositories.sqlite import SqliteFile


class EmbeddedComments(CommentStore):
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(
        self, post_id: UUID, author_id: UUID, body: str, at: datetime, announce: Callable[[Comment], Event]
    ) -> Comment:
        with self._file.write() as connection:
            numbered = connection.execute(NEXT_NUMBER, (str(post_id),)).fetchone()
            if numbered is None:
                raise NotFound
            comment = Comment(post_id, numbered[0], author_id, body, at)
            connection.execute(INSERT, (str(post_id), comment.number, encoded(comment)))
            append(connection, EmbeddedCarrier("comment", str(post_id), comment.number), announce(comment))
        return comment

    def get(self, post_id: UUID, number: int) -> Comment | None:
        found = self._file.rows(SELECT + " AND number = ?", (str(post_id), number))
        return _comment(found[0][0]) if found else None

    def page(self, post_id: UUID, *, after: int | None, limit: int) -> list[Comment]:
        if limit < 1:
            return []
        sql, parameters = query(SELECT, {"number > ?": after}, "ORDER BY number", limit)
        return [_comment(document) for (document,) in self._file.rows(sql, [str(post_id), *parameters])]

    def by_author(self, author_id: UUID, *, after: tuple[UUID, int] | None, limit: int) -> list[Comment]:
        post_id, number = after or (UUID(int=0), 0)
        found = self._file.rows(BY_AUTHOR, (str(author_id), str(post_id), number, max(limit, 0)))
        return [_comment(document) for (document,) in found]

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        found = self._file.rows(COUNTS, [array(post_ids)])
        return dict.fromkeys(post_ids, 0) | {UUID(post_id): comments for post_id, comments in found}

    def delete(self, post_id: UUID, number: int, event: Event) -> None:
        with self._file.write() as connection:
            fewer = connection.execute(FEWER, (str(post_id),)).rowcount
            buried = connection.execute(BURY, (micros(event.happened_at), str(post_id), number)).rowcount
            if not (fewer and buried):
                raise NotFound
            append(connection, EmbeddedCarrier("comment", str(post_id), number), event)

    def delete_of(self, author_id: UUID, announce: Callable[[Comment], Event], *, limit: int) -> list[Comment]:
        with self._file.write() as connection:
            found = [_comment(document) for (document,) in connection.execute(OF_AUTHOR, (str(author_id), limit))]
            for comment in found:
                event, post_id = announce(comment), str(comment.post_id)
                connection.execute(FEWER, (post_id,))
                connection.execute(BURY, (micros(event.happened_at), post_id, comment.number))
                append(connection, EmbeddedCarrier("comment", post_id, comment.number), event)
        return found

    def recount(self, post_ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        if not repair:
            return _miscounts(self._file.rows(MISCOUNTED, (array(post_ids),)))
        with self._file.write() as connection:
            wrong = connection.execute(MISCOUNTED, (array(post_ids),)).fetchall()
            connection.executemany(SET_COUNT, [(true, post_id) for post_id, _, true in wrong])
        return _miscounts(wrong)

    def load(self, comments: Sequence[Comment]) -> None:
        for start in range(0, len(comments), LOADED_AT_ONCE):
            with self._file.write() as connection:
                for comment in comments[start : start + LOADED_AT_ONCE]:
                    row = {"id": str(comment.post_id), "number": comment.number, "document": encoded(comment)}
                    if connection.execute(INSERT_MISSING, row).rowcount:
                        connection.execute(COUNT, row)


NEXT_NUMBER = """
    UPDATE documents_posts SET comments = comments + 1, comment_seq = comment_seq + 1
    WHERE id = ? AND deleted_at IS NULL RETURNING comment_seq
"""
INSERT = "INSERT INTO documents_comments (post_id, number, document) VALUES (?, ?, ?)"
INSERT_MISSING = """
    INSERT INTO documents_comments (post_id, number, document)
    SELECT id, :number, :document FROM documents_posts WHERE id = :id AND deleted_at IS NULL
    ON CONFLICT (post_id, number) DO NOTHING
"""
COUNT = """
    UPDATE documents_posts SET comments = comments + 1, comment_seq = max(comment_seq, :number) WHERE id = :id
"""
FEWER = "UPDATE documents_posts SET comments = comments - 1 WHERE id = ? AND deleted_at IS NULL"
BURY = """
    UPDATE documents_comments SET document = NULL, deleted_at = ?
    WHERE post_id = ? AND number = ? AND deleted_at IS NULL
"""
SELECT = """
    SELECT c.document FROM documents_posts p JOIN documents_comments c ON c.post_id = p.id
    WHERE p.id = ? AND p.deleted_at IS NULL AND c.deleted_at IS NULL
"""
BY_AUTHOR = """
    SELECT c.document FROM documents_comments c CROSS JOIN documents_posts p ON p.id = c.post_id
    WHERE json_extract(c.document, '$.author_id') = ? AND (c.post_id, c.number) > (?, ?)
    AND c.deleted_at IS NULL AND p.deleted_at IS NULL ORDER BY c.post_id, c.number LIMIT ?
"""
OF_AUTHOR = """
    SELECT document FROM documents_comments
    WHERE json_extract(document, '$.author_id') = ? AND deleted_at IS NULL ORDER BY post_id, number LIMIT ?
"""
COUNTS = """
    SELECT id, comments FROM documents_posts
    WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL
"""
MISCOUNTED = """
    WITH counts AS MATERIALIZED (
        SELECT id, comments, (
            SELECT count(*) FROM documents_comments WHERE post_id = documents_posts.id AND deleted_at IS NULL
        ) AS counted
        FROM documents_posts WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL
    )
    SELECT id, comments, counted FROM counts WHERE comments <> counted
"""
SET_COUNT = "UPDATE documents_posts SET comments = ? WHERE id = ?"


def _miscounts(rows: Iterable[tuple[str, int, int]]) -> dict[UUID, tuple[int, int]]:
    return {UUID(post_id): (kept, true) for post_id, kept, true in rows}


def _comment(document: str) -> Comment:
    return msgspec.json.decode(document, type=Comment)
