"""Damage done to the stores from outside, and the findings that must report it."""

import random
import sqlite3
import time
from abc import abstractmethod
from contextlib import closing
from typing import Any, Protocol
from uuid import UUID

import psycopg
from cassandra.cluster import Cluster
from cassandra.query import tuple_factory
from pymongo import MongoClient
from sqlalchemy import text

from app.container import Container
from repositories.feeds.cassandra.target import target_of
from repositories.feeds.layout import Layout
from repositories.postgres.database import native
from repositories.records.content import PostRef
from repositories.sqlite.file import path_of
from tests.contracts.relational_store import opened
from tests.contracts.transactions import engine_of

Entry = tuple[UUID, PostRef]


class Timelines(Protocol):
    """Changes rows of the feed store without using the adapter."""

    @abstractmethod
    def drop_home(self, owner: UUID, post: UUID) -> None: ...

    @abstractmethod
    def drop_author(self, author: UUID, post: UUID) -> None: ...

    @abstractmethod
    def alter_home(self, owner: UUID, post: UUID, author: UUID) -> None: ...

    @abstractmethod
    def add_home(self, owner: UUID, post: UUID, author: UUID) -> None: ...

    @abstractmethod
    def add_author(self, author: UUID, post: UUID) -> None: ...

    @abstractmethod
    def unmark_home(self, owner: UUID, bucket: int) -> bool:
        """Remove the marker of a bucket. False if this store has no markers."""

    @abstractmethod
    def unmark_author(self, author: UUID, bucket: int) -> bool: ...

    @abstractmethod
    def misplace(self, owner: UUID, post: UUID, author: UUID) -> bool:
        """Put an entry into a bucket where no page looks for it. False if that is impossible in this store."""


class InSqlite(Timelines):
    def __init__(self, url: str) -> None:
        self._path = path_of(url)

    def drop_home(self, owner: UUID, post: UUID) -> None:
        self._run("DELETE FROM feeds_home WHERE owner = ? AND post = ?", owner, post)

    def drop_author(self, author: UUID, post: UUID) -> None:
        self._run("DELETE FROM feeds_author WHERE author = ? AND post = ?", author, post)

    def alter_home(self, owner: UUID, post: UUID, author: UUID) -> None:
        self._run(
            "UPDATE feeds_home SET author = ?, written = ? WHERE owner = ? AND post = ?", author, _now(), owner, post
        )

    def add_home(self, owner: UUID, post: UUID, author: UUID) -> None:
        self._run("INSERT INTO feeds_home VALUES (?, ?, ?, ?, ?)", owner, post, author, _now(), 0)

    def add_author(self, author: UUID, post: UUID) -> None:
        self._run("INSERT INTO feeds_author VALUES (?, ?, ?, ?)", author, post, _now(), 0)

    def unmark_home(self, owner: UUID, bucket: int) -> bool:
        return False

    def unmark_author(self, author: UUID, bucket: int) -> bool:
        return False

    def misplace(self, owner: UUID, post: UUID, author: UUID) -> bool:
        return False

    def _run(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA busy_timeout = 10000")
            connection.execute(statement, [v.bytes if isinstance(v, UUID) else v for v in values])


class InPostgres(InSqlite):
    """Uses the same statements as for SQLite."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _run(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(native(statement), values)


class InCassandra(Timelines):
    """Statements without a timestamp, so they get the client's present time, which is later than that of any event."""

    def __init__(self, url: str) -> None:
        where = target_of(url)
        self._cluster = Cluster(where.hosts, protocol_version=5)
        self._session = self._cluster.connect(where.keyspace)
        self._session.row_factory = tuple_factory
        self._layout = Layout()

    def close(self) -> None:
        self._cluster.shutdown()

    def drop_home(self, owner: UUID, post: UUID) -> None:
        where = owner, self._layout.home.bucket(post), post
        self._run("DELETE FROM home_timeline WHERE owner_id = %s AND bucket = %s AND post_id = %s", *where)

    def drop_author(self, author: UUID, post: UUID) -> None:
        where = author, self._layout.author.bucket(post), post
        self._run("DELETE FROM author_timeline WHERE author_id = %s AND bucket = %s AND post_id = %s", *where)

    def alter_home(self, owner: UUID, post: UUID, author: UUID) -> None:
        where = owner, self._layout.home.bucket(post), post
        statement = "UPDATE home_timeline SET author_id = %s WHERE owner_id = %s AND bucket = %s AND post_id = %s"
        self._run(statement, author, *where)

    def add_home(self, owner: UUID, post: UUID, author: UUID) -> None:
        self._add(owner, self._layout.home.bucket(post), post, author)

    def add_author(self, author: UUID, post: UUID) -> None:
        values = author, self._layout.author.bucket(post), post
        self._run("INSERT INTO author_timeline (author_id, bucket, post_id) VALUES (%s, %s, %s)", *values)

    def unmark_home(self, owner: UUID, bucket: int) -> bool:
        self._run("DELETE FROM home_buckets WHERE owner_id = %s AND bucket = %s", owner, bucket)
        return True

    def unmark_author(self, author: UUID, bucket: int) -> bool:
        self._run("DELETE FROM author_buckets WHERE author_id = %s AND bucket = %s", author, bucket)
        return True

    def misplace(self, owner: UUID, post: UUID, author: UUID) -> bool:
        self._add(owner, self._layout.home.bucket(post) - 1, post, author)
        return True

    def _add(self, *values: Any) -> None:
        self._run("INSERT INTO home_timeline (owner_id, bucket, post_id, author_id) VALUES (%s, %s, %s, %s)", *values)

    def _run(self, statement: str, *values: Any) -> None:
        self._session.execute(statement, values)


def falsify_accounts(container: Container, accounts: list[UUID], chance: random.Random) -> None:
    with opened(container.settings.relational_url) as store, engine_of(store).begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        for one in accounts:
            column = chance.choice(["followers", "following"])
            statement = f"UPDATE account_counters SET {column} = {column} + :step WHERE account_id = :id"  # noqa: S608
            connection.execute(text(statement), {"step": chance.randint(1, 9), "id": one.bytes if is_sqlite else one})


def falsify_likes(container: Container, posts: list[UUID]) -> None:
    with opened(container.settings.relational_url) as store, engine_of(store).begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        for number, one in enumerate(posts):
            change = "UPDATE post_counters SET likes = likes + 7" if number % 2 else "DELETE FROM post_counters"
            connection.execute(text(f"{change} WHERE post_id = :id"), {"id": one.bytes if is_sqlite else one})


def falsify_comments(url: str, posts: list[UUID]) -> None:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(path_of(url), timeout=10, isolation_level=None)) as connection:
            statement = "UPDATE documents_posts SET comments = comments + 5 WHERE id = ?"
            connection.executemany(statement, [(str(one),) for one in posts])
        return
    with MongoClient[Any](url, uuidRepresentation="standard") as client:
        found = client.get_default_database()["posts"].update_many({"_id": {"$in": posts}}, {"$inc": {"comments": 5}})
        assert found.modified_count == len(posts)


def _now() -> int:
    return time.time_ns() // 1000
