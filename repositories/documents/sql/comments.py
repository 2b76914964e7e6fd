"""Comments in SQL: a separate table, keyed by post and number. The post has the last number and the comment count.

Reads join the post, so that deleting a post hides its comments at once.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from repositories.documents.port import CommentStore
from repositories.documents.sql.events import SqlCarrier, append
from repositories.documents.sql.versioned_writes import at_once, encoded, query
from repositories.documents.times import micros
from repositories.errors import NotFound
from repositories.records.content import Comment
from repositories.records.events import Event
from repositories.sql import SqlDatabase, SqlWork, id_of


class SqlComments(CommentStore):
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(
        self, post_id: UUID, author_id: UUID, body: str, at: datetime, announce: Callable[[Comment], Event]
    ) -> Comment:
        with self._database.write() as work:
            numbered = work.execute(NEXT_NUMBER, (post_id,)).fetchone()
            if numbered is None:
                raise NotFound
            comment = Comment(post_id, numbered[0], author_id, body, at)
            work.execute(INSERT, (post_id, comment.number, author_id, encoded(comment)))
            append(work, SqlCarrier("comment", post_id, comment.number), announce(comment))
        return comment

    def get(self, post_id: UUID, number: int) -> Comment | None:
        found = self._database.rows(SELECT + " AND number = ?", (post_id, number))
        return _comment(found[0][0]) if found else None

    def page(self, post_id: UUID, *, after: int | None, limit: int) -> list[Comment]:
        if limit < 1:
            return []
        sql, parameters = query(SELECT, {"number > ?": after}, "ORDER BY number", limit)
        return [_comment(document) for (document,) in self._database.rows(sql, [post_id, *parameters])]

    def by_author(self, author_id: UUID, *, after: tuple[UUID, int] | None, limit: int) -> list[Comment]:
        post_id, number = after or (UUID(int=0), 0)
        found = self._database.rows(BY_AUTHOR, (author_id, post_id, number, max(limit, 0)))
        return [_comment(document) for (document,) in found]

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        found = self._database.rows(COUNTS, [list(post_ids)])
        return dict.fromkeys(post_ids, 0) | {id_of(post_id): comments for post_id, comments in found}

    def delete(self, post_id: UUID, number: int, event: Event) -> None:
        with self._database.write() as work:
            fewer = work.execute(FEWER, (post_id,)).rowcount
            buried = work.execute(BURY, (micros(event.happened_at), post_id, number)).rowcount
            if not (fewer and buried):
                raise NotFound
            append(work, SqlCarrier("comment", post_id, number), event)

    def delete_of(self, author_id: UUID, announce: Callable[[Comment], Event], *, limit: int) -> list[Comment]:
        with self._database.write() as work:
            found = [_comment(document) for (document,) in work.execute(OF_AUTHOR, (author_id, limit)).fetchall()]
            work.execute(LOCK_POSTS, (list({comment.post_id for comment in found}),)).fetchall()
            for comment in found:
                event, key = announce(comment), (comment.post_id, comment.number)
                if work.execute(BURY, (micros(event.happened_at), *key)).rowcount:
                    work.execute(FEWER, (comment.post_id,))
                    append(work, SqlCarrier("comment", *key), event)
        return found

    def recount(self, post_ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        ids = list(post_ids)
        if not repair:
            return _miscounts(self._database.rows(MISCOUNTED, (ids,)))
        with self._database.write() as work:
            work.execute(LOCK_POSTS, (ids,)).fetchall()
            wrong = work.execute(MISCOUNTED, (ids,)).fetchall()
            work.executemany(SET_COUNT, [(true, post_id) for post_id, _, true in wrong])
        return _miscounts(wrong)

    def load(self, comments: Sequence[Comment]) -> None:
        for some in at_once(comments, key=lambda comment: (comment.post_id, comment.number)):
            with self._database.write() as work:
                self._load(work, some)

    def _load(self, work: SqlWork, comments: Sequence[Comment]) -> None:
        for comment in comments:
            key = {"id": comment.post_id, "number": comment.number}
            row = {**key, "author_id": comment.author_id, "document": encoded(comment)}
            if work.execute(INSERT_MISSING, row).rowcount:
                work.execute(COUNT, key)


# Lock order: a transaction that changes comments locks the row of their post first.
LOCK_POSTS = "SELECT id FROM documents_posts WHERE id = ANY (?) ORDER BY id FOR UPDATE"
NEXT_NUMBER = """
    UPDATE documents_posts SET comments = comments + 1, comment_seq = comment_seq + 1
    WHERE id = ? AND deleted_at IS NULL RETURNING comment_seq
"""
INSERT = "INSERT INTO documents_comments (post_id, number, author_id, document) VALUES (?, ?, ?, ?)"
INSERT_MISSING = """
    INSERT INTO documents_comments (post_id, number, author_id, document)
    SELECT id, :number, :author_id, :document FROM documents_posts WHERE id = :id AND deleted_at IS NULL
    ON CONFLICT (post_id, number) DO NOTHING
"""
COUNT = """
    UPDATE documents_posts SET comments = comments + 1,
        comment_seq = CASE WHEN comment_seq < :number THEN :number ELSE comment_seq END
    WHERE id = :id
"""
FEWER = "UPDATE documents_posts SET comments = comments - 1 WHERE id = ? AND deleted_at IS NULL"
BURY = """
    UPDATE documents_comments SET author_id = NULL, document = NULL, deleted_at = ?
    WHERE post_id = ? AND number = ? AND deleted_at IS NULL
"""
SELECT = """
    SELECT c.document FROM documents_posts p JOIN documents_comments c ON c.post_id = p.id
    WHERE p.id = ? AND p.deleted_at IS NULL AND c.deleted_at IS NULL
"""
BY_AUTHOR = """
    SELECT c.document FROM documents_comments c CROSS JOIN documents_posts p
    WHERE p.id = c.post_id AND c.author_id = ? AND (c.post_id, c.number) > (?, ?)
    AND c.deleted_at IS NULL AND p.deleted_at IS NULL ORDER BY c.post_id, c.number LIMIT ?
"""
OF_AUTHOR = """
    SELECT document FROM documents_comments
    WHERE author_id = ? AND deleted_at IS NULL ORDER BY post_id, number LIMIT ?
"""
COUNTS = """
    SELECT id, comments FROM documents_posts
    WHERE id = ANY (?) AND deleted_at IS NULL
"""
MISCOUNTED = """
    WITH counts AS MATERIALIZED (
        SELECT id, comments, (
            SELECT count(*) FROM documents_comments WHERE post_id = documents_posts.id AND deleted_at IS NULL
        ) AS counted
        FROM documents_posts WHERE id = ANY (?) AND deleted_at IS NULL
    )
    SELECT id, comments, counted FROM counts WHERE comments <> counted
"""
SET_COUNT = "UPDATE documents_posts SET comments = ? WHERE id = ?"


def _miscounts(rows: Iterable[Sequence[Any]]) -> dict[UUID, tuple[int, int]]:
    return {id_of(post_id): (kept, true) for post_id, kept, true in rows}


def _comment(document: bytes | str) -> Comment:
    return msgspec.json.decode(document, type=Comment)
