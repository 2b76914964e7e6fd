"""The town in the peer's tables."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, LiteralString

import psycopg

from bench.signed_in.peer import INDEXES, SCHEMA
from bench.signed_in.town import Town


def fill(url: str, town: Town) -> None:
    """Into an empty database."""
    until = town.plan.until + timedelta(days=30)
    sessions = ((hashlib.sha256(town.token(n).encode()).digest(), one, until) for n, one in enumerate(town.readers))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        accounts = (
            (a.id, a.handle, a.display_name, a.bio, a.image_url, a.created_at, a.version) for a in town.accounts()
        )
        _copy(connection, "COPY accounts FROM STDIN", accounts)
        _copy(connection, "COPY sessions FROM STDIN", sessions)
        posts: Iterable[Sequence[Any]] = (
            (p.id, p.author_id, p.title, p.body, list(p.tags), [], p.created_at, p.updated_at, p.version)
            for p in town.posts()
        )
        _copy(connection, "COPY posts FROM STDIN", posts)
        _copy(connection, "COPY follows FROM STDIN", ((f.follower, f.followee, f.since) for f in town.follows()))
        _copy(connection, "COPY likes FROM STDIN", ((one.post_id, one.account_id, one.at) for one in town.likes()))
        comments = ((c.post_id, c.number, c.author_id, c.body, c.created_at) for c in town.comments())
        _copy(connection, "COPY comments FROM STDIN", comments)
        for statement in (*INDEXES, "VACUUM ANALYZE"):
            connection.execute(statement)


def _copy(connection: psycopg.Connection[Any], statement: LiteralString, rows: Iterable[Sequence[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
