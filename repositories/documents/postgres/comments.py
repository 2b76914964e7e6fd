"""Comments in PostgreSQL: overrides of the common SQL statements."""

from collections.abc import Sequence

from repositories.documents.sql.comments import LOCK_POSTS, SqlComments
from repositories.documents.sql.versioned_writes import encoded
from repositories.records.content import Comment
from repositories.sql import SqlWork


class PostgresComments(SqlComments):
    def _load(self, work: SqlWork, comments: Sequence[Comment]) -> None:
        posts = [comment.post_id for comment in comments]
        columns = {
            "post": posts,
            "number": [comment.number for comment in comments],
            "author": [comment.author_id for comment in comments],
            "document": [encoded(comment) for comment in comments],
        }
        work.execute(LOCK_POSTS, (posts,))
        work.execute(LOAD, columns)


LOAD = """
    WITH added AS (
        INSERT INTO documents_comments (post_id, number, author_id, document)
        SELECT c.* FROM unnest(:post::uuid[], :number::bigint[], :author::uuid[], :document::bytea[]) AS c (post_id)
        JOIN documents_posts ON id = c.post_id AND deleted_at IS NULL
        ON CONFLICT (post_id, number) DO NOTHING RETURNING post_id, number
    ), counted AS (
        SELECT post_id, count(*) AS n, max(number) AS top FROM added GROUP BY post_id
    )
    UPDATE documents_posts SET comments = comments + n, comment_seq = greatest(comment_seq, top)
    FROM counted WHERE id = counted.post_id
"""
