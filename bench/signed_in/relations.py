"""Loads follows, likes and blocks directly into a build's tables, with their counters.

The port would be slower: it looks for each row first.
"""

from typing import LiteralString

import psycopg

from bench.signed_in.copying import copy
from bench.signed_in.town import Town

COUNTS: tuple[LiteralString, ...] = (
    """UPDATE account_counters SET
        followers = (SELECT count(*) FROM follows WHERE followee = account_id),
        following = (SELECT count(*) FROM follows WHERE follower = account_id)""",
    "INSERT INTO post_counters (post_id, likes) SELECT post_id, count(*) FROM likes GROUP BY post_id ORDER BY post_id",
)


def fill_relations(url: str, town: Town) -> None:
    """Fill empty tables of a database that has the accounts."""
    with psycopg.connect(url) as connection:
        follows = ((one.follower, one.followee, one.since, True) for one in town.follows())
        copy(connection, "COPY follows (follower, followee, since, filled) FROM STDIN", follows)
        likes = ((one.account_id, one.post_id, one.at) for one in town.likes())
        copy(connection, "COPY likes (account_id, post_id, at) FROM STDIN", likes)
        blocks = ((*pair, town.plan.until) for pair in town.blocked())
        copy(connection, "COPY blocks (blocker, blocked, at) FROM STDIN", blocks)
        for statement in ("ANALYZE follows", "ANALYZE likes", *COUNTS):
            connection.execute(statement)
