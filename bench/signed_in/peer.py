"""The baseline: Flask, psycopg and one SQL statement on PostgreSQL, as a good engineer would write it in an hour.

It has one connection per server thread and prepared statements, and looks the token up in its table for each request.
"""

import hashlib
import os
import threading
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from flask import Flask, abort, request
from psycopg.rows import dict_row

SCHEMA: tuple[LiteralString, ...] = (
    """CREATE TABLE accounts (
        id uuid PRIMARY KEY, handle text NOT NULL UNIQUE, display_name text NOT NULL, bio text NOT NULL,
        image_url text, created_at timestamptz NOT NULL, version bigint NOT NULL)""",
    "CREATE TABLE sessions (digest bytea PRIMARY KEY, account_id uuid NOT NULL, expires_at timestamptz NOT NULL)",
    """CREATE TABLE posts (
        id uuid PRIMARY KEY, author_id uuid NOT NULL REFERENCES accounts, title text NOT NULL, body text NOT NULL,
        tags text[] NOT NULL, product_ids uuid[] NOT NULL,
        created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, version bigint NOT NULL)""",
    "CREATE TABLE follows (follower uuid, followee uuid, since timestamptz NOT NULL, PRIMARY KEY (follower, followee))",
    "CREATE TABLE likes (post_id uuid, account_id uuid, at timestamptz NOT NULL, PRIMARY KEY (post_id, account_id))",
    """CREATE TABLE comments (
        post_id uuid, number int, author_id uuid NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL,
        PRIMARY KEY (post_id, number))""",
)
# Created after the rows are loaded.
INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX ON posts (author_id, id DESC)",
    "CREATE INDEX ON follows (followee)",
    "CREATE INDEX ON likes (account_id)",
)
SESSION = "SELECT account_id FROM sessions WHERE digest = %s AND expires_at > now()"
CARDS: LiteralString = """
    SELECT p.*, a.handle, a.display_name, a.bio, a.image_url, a.created_at AS joined_at, a.version AS account_version,
        (SELECT count(*) FROM likes l WHERE l.post_id = p.id) AS likes,
        (SELECT count(*) FROM comments c WHERE c.post_id = p.id) AS comments,
        EXISTS (SELECT FROM likes l WHERE l.post_id = p.id AND l.account_id = %(reader)s) AS liked
    FROM """
ORDER: LiteralString = " JOIN accounts a ON a.id = p.author_id ORDER BY p.id DESC LIMIT %(limit)s"
# The planner chooses: scan the posts from the newest until there are enough, or look up each author's posts.
JOIN: LiteralString = f"""{CARDS} (
    SELECT * FROM posts WHERE id < %(before)s AND (
        author_id = %(reader)s OR author_id IN (SELECT followee FROM follows WHERE follower = %(reader)s))
    ORDER BY id DESC LIMIT %(limit)s) p {ORDER}"""  # noqa: S608  constants
# Always author by author: faster if followees are few or silent, slower if they are many.
LATERAL: LiteralString = f"""{CARDS} (
    SELECT own.* FROM (
        SELECT followee AS author FROM follows WHERE follower = %(reader)s UNION ALL SELECT %(reader)s
    ) f CROSS JOIN LATERAL (
        SELECT * FROM posts WHERE author_id = f.author AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s
    ) own ORDER BY own.id DESC LIMIT %(limit)s) p {ORDER}"""  # noqa: S608  constants
HIGHEST = UUID(int=(1 << 128) - 1)

app = Flask(__name__, static_folder=None)
app.json.sort_keys = False  # type: ignore[attr-defined]
local = threading.local()


def rows(sql: LiteralString, values: Any) -> list[dict[str, Any]]:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(
            os.environ["PEER_URL"], autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
    found: list[dict[str, Any]] = local.connection.execute(sql, values).fetchall()
    return found


def caller() -> UUID:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    found = rows(SESSION, (hashlib.sha256(token.encode()).digest(),))
    if not found:
        abort(401)
    account: UUID = found[0]["account_id"]
    return account


@app.get("/feed")
def feed() -> dict[str, Any]:
    return page(JOIN)


@app.get("/feed/by-author")
def feed_by_author() -> dict[str, Any]:
    return page(LATERAL)


def page(sql: LiteralString) -> dict[str, Any]:
    reader, limit = caller(), 20
    before = request.args.get("before", HIGHEST, type=UUID)
    found = rows(sql, {"reader": reader, "before": before, "limit": limit + 1})
    more = len(found) > limit
    return {
        "items": [card(row, reader) for row in found[:limit]],
        "next": found[limit - 1]["id"] if more else None,
    }


def card(row: dict[str, Any], reader: UUID) -> dict[str, Any]:
    return {
        "post": {
            "id": row["id"],
            "author_id": row["author_id"],
            "title": row["title"],
            "body": row["body"],
            "tags": row["tags"],
            "product_ids": row["product_ids"],
            "created_at": row["created_at"].isoformat(),
            "updated_at": row["updated_at"].isoformat(),
            "version": row["version"],
        },
        "author": {
            "id": row["author_id"],
            "handle": row["handle"],
            "display_name": row["display_name"],
            "bio": row["bio"],
            "image_url": row["image_url"],
            "created_at": row["joined_at"].isoformat(),
            "version": row["account_version"],
        },
        "stats": {"likes": row["likes"], "comments": row["comments"]},
        "viewer": {"liked": row["liked"], "following_author": row["author_id"] != reader},
    }
