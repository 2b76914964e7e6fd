"""Posts in PostgreSQL: overrides of the common SQL statements."""

from collections.abc import Collection, Sequence
from uuid import UUID

from repositories.documents.sql.posts import SqlPosts, post_row, tag_rows
from repositories.records.content import Post, PostRef
from repositories.sql import SqlWork, id_of


class PostgresPosts(SqlPosts):
    def _pulled(
        self, select: str, authors: Collection[UUID], before: UUID | None, after: UUID | None, limit: int
    ) -> list[PostRef]:
        """The first `limit` posts are by the `limit` authors whose own first posts come first. So each author costs one
        index lookup, and only the posts of those authors are read further. With a plain query the server would read and
        sort all posts of all authors.
        """
        bound, way = ("id > :bound", "") if after else ("id < :bound", " DESC") if before else ("true", " DESC")
        if after and before:
            bound = "id > :bound AND id < :before"
        of_author = f"{select} AND author_id = a.id AND {bound} ORDER BY id{way}"
        sql = PULLED.format(of_author=of_author, way=way)
        given = {"authors": list(set(authors)), "bound": after or before, "before": before, "limit": limit}
        return [PostRef(id_of(post), id_of(author)) for post, author in self._database.rows(sql, given)]

    def _load(self, work: SqlWork, posts: Sequence[Post]) -> None:
        rows = [post_row(post) for post in posts]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        tags = [row for post in posts for row in tag_rows(post)]
        work.execute(LOAD, {**columns, "tags": [tag for tag, _ in tags], "of": [post_id for _, post_id in tags]})


PULLED = """
    WITH foremost AS MATERIALIZED (
        SELECT a.id FROM unnest(:authors::uuid[]) AS a (id)
        CROSS JOIN LATERAL ({of_author} LIMIT 1) AS first (first_id, author_id)
        ORDER BY first_id{way} LIMIT :limit
    )
    SELECT p.id, p.author_id FROM foremost AS a CROSS JOIN LATERAL ({of_author} LIMIT :limit) AS p
    ORDER BY p.id{way} LIMIT :limit
"""
LOAD = """
    WITH added AS (
        INSERT INTO documents_posts (id, author_id, version, document)
        SELECT * FROM unnest(:id::uuid[], :author_id::uuid[], :version::bigint[], :document::bytea[])
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    INSERT INTO documents_tags (tag, post_id)
    SELECT tag, post_id FROM unnest(:tags::text[], :of::uuid[]) AS t (tag, post_id) JOIN added ON added.id = post_id
    ON CONFLICT (tag, post_id) DO NOTHING
"""
