"""Loads the town into the peer's tables."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg

from bench.signed_in.copying import copy
from bench.signed_in.peer import INDEXES, SCHEMA
from bench.signed_in.town import Town


def fill(url: str, town: Town) -> None:
    """Create the tables in an empty database and load the town."""
    until = town.plan.until + timedelta(days=30)
    sessions = ((hashlib.sha256(town.token(n).encode()).digest(), one, until) for n, one in enumerate(town.readers))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        accounts = (
            (a.id, a.handle, a.display_name, a.bio, a.image_url, a.created_at, a.version) for a in town.accounts()
        )
        copy(connection, "COPY accounts FROM STDIN", accounts)
        copy(connection, "COPY sessions FROM STDIN", sessions)
        posts: Iterable[Sequence[Any]] = (
            (p.id, p.author_id, p.title, p.body, list(p.tags), [], p.created_at, p.updated_at, p.version)
            for p in town.posts()
        )
        copy(connection, "COPY posts FROM STDIN", posts)
        copy(connection, "COPY follows FROM STDIN", ((f.follower, f.followee, f.since) for f in town.follows()))
        copy(connection, "COPY likes FROM STDIN", ((one.post_id, one.account_id, one.at) for one in town.likes()))
        comments = ((c.post_id, c.number, c.author_id, c.body, c.created_at) for c in town.comments())
        copy(connection, "COPY comments FROM STDIN", comments)
        for statement in (*INDEXES, "VACUUM ANALYZE"):
            connection.execute(statement)
