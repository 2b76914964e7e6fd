"""The baseline: a home feed as one SQL statement on PostgreSQL, over a table of posts with suitable indexes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from bench.feed.crowd import post_of
from repositories.records.content import PostRef

LIMIT = 21
HIGHEST = UUID(int=(1 << 128) - 1)
PROBES = 10
HOPELESS = 20
TABLE = """CREATE TABLE bench_posts (
    id uuid NOT NULL, author_id uuid NOT NULL, title text NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL
)"""
INDEXES: tuple[LiteralString, ...] = (
    "ALTER TABLE bench_posts ADD PRIMARY KEY (id)",
    "CREATE INDEX bench_posts_author ON bench_posts (author_id, id DESC)",
    "VACUUM ANALYZE",
)
# Three statements for the same rows: a join left to the planner, author by author, or post by post.
FORMS: dict[str, LiteralString] = {
    "join": """SELECT p.id, p.author_id, p.title, p.body, p.created_at
        FROM follows f JOIN bench_posts p ON p.author_id = f.followee
        WHERE f.follower = %(reader)s AND p.id < %(before)s ORDER BY p.id DESC LIMIT 21""",
    "lateral": """SELECT p.* FROM follows f CROSS JOIN LATERAL (
            SELECT id, author_id, title, body, created_at FROM bench_posts
            WHERE author_id = f.followee AND id < %(before)s ORDER BY id DESC LIMIT 21
        ) p WHERE f.follower = %(reader)s ORDER BY p.id DESC LIMIT 21""",
    "walk": """SELECT p.id, p.author_id, p.title, p.body, p.created_at FROM bench_posts p
        WHERE p.id < %(before)s
            AND (SELECT true FROM follows f WHERE f.follower = %(reader)s AND f.followee = p.author_id)
        ORDER BY p.id DESC LIMIT 21""",
}

Rows = list[tuple[Any, ...]]
Feed = Callable[[UUID, UUID | None], Rows]


def fill(url: str, refs: Sequence[PostRef]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        with connection.cursor() as cursor, cursor.copy("COPY bench_posts FROM STDIN") as copy:
            for post in map(post_of, refs):
                copy.write_row((post.id, post.author_id, post.title, post.body, post.created_at))
        for statement in INDEXES:
            connection.execute(statement)


@contextmanager
def feeds(url: str) -> Iterator[dict[str, Feed]]:
    """Every form twice: with a cached generic plan, and planned anew for each reader."""
    with (
        psycopg.connect(url, autocommit=True, prepare_threshold=0) as cached,
        psycopg.connect(url, autocommit=True, prepare_threshold=0) as fresh,
    ):
        fresh.execute("SET plan_cache_mode = force_custom_plan")
        yield {
            f"{form}{how}": _feed(connection, text)
            for form, text in FORMS.items()
            for how, connection in (("", cached), (", planned anew", fresh))
        }


def best(found: dict[str, Feed], reader: UUID, before: UUID | None) -> str:
    """The fastest form for this page. Forms that are `HOPELESS` times slower at the first try are left out."""
    first = {name: _seconds(feed, reader, before) for name, feed in found.items()}
    able = [name for name, seconds in first.items() if seconds < HOPELESS * min(first.values())]
    return min(able, key=lambda name: min(_seconds(found[name], reader, before) for _ in range(PROBES)))


def _feed(connection: psycopg.Connection[Any], text: LiteralString) -> Feed:
    def page(reader: UUID, before: UUID | None) -> Rows:
        return connection.execute(text, {"reader": reader, "before": before or HIGHEST}).fetchall()

    return page


def _seconds(feed: Feed, reader: UUID, before: UUID | None) -> float:
    began = perf_counter()
    feed(reader, before)
    return perf_counter() - began
