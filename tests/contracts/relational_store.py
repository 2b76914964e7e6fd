"""Relational stores for tests, each with a new database."""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from msgspec.structs import replace
from psycopg import sql

from repositories.records.graph import Follow
from repositories.records.people import Account, Login
from repositories.relational import RelationalStore, open_store
from tests.engines import Reachable

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
TIMEOUT = timedelta(seconds=5)


TEMPLATE = "migrated"


def new_database(server: Reachable) -> str:
    """The URL of an empty database on the server."""
    return _created(server, "CREATE DATABASE {}")


def migrated_database(server: Reachable) -> str:
    """The URL of a database with all tables: a copy, which takes a fifth of the time of a migration."""
    _make_template(server.url)
    return _created(server, f"CREATE DATABASE {{}} TEMPLATE {TEMPLATE} STRATEGY wal_log")


def migrated_file(directory: Path) -> str:
    """The URL of a file with all tables, in an empty directory: also a copy, for speed."""
    file = directory / "quartet.db"
    file.write_bytes(_template_file())
    return f"sqlite:///{file}"


@functools.cache
def _template_file() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "quartet.db"
        with opened(f"sqlite:///{file}") as store:
            store.migrate()
        return file.read_bytes()


def _created(server: Reachable, statement: LiteralString) -> str:
    name = f"t{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    return _with_database(server.url, name)


@functools.cache
def _make_template(url: str) -> None:
    """Make the template once per server, in whichever process comes first.

    A database that is not marked as a template was left incomplete, and is made again.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [TEMPLATE]).fetchone():
            return
        connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
        with opened(_with_database(url, TEMPLATE)) as store:
            store.migrate()
        connection.execute(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")


def _with_database(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


@contextmanager
def opened(url: str, *, timeout: timedelta = TIMEOUT, pool: int = 8) -> Iterator[RelationalStore]:
    store = open_store(url, timeout=timeout, pool=pool)
    try:
        yield store
    finally:
        store.close()


def account(**changes: object) -> Account:
    own = uuid4()
    made = Account(own, f"h{own.hex[:20]}", "Ada", "", None, NOW, 1)
    return replace(made, **changes) if changes else made


def login(of: Account, **changes: object) -> Login:
    made = Login(of.id, f"{of.handle}@example.org", "hash")
    return replace(made, **changes) if changes else made


def register(store: RelationalStore, number: int = 1) -> list[UUID]:
    """New accounts, in the order of their ids."""
    people = [account() for _ in range(number)]
    with store.transaction() as unit:
        for one in people:
            unit.accounts.add(one, login(one))
    return sorted(one.id for one in people)


def add(store: RelationalStore, one: Account) -> None:
    """Add an account without claiming its handle."""
    with store.transaction() as unit:
        unit.accounts.add(one, login(one))


def follow(store: RelationalStore, follower: UUID, followee: UUID, since: datetime = NOW) -> bool:
    """Whether the follow is new."""
    with store.transaction() as unit:
        return unit.graph.follow(Follow(follower, followee, since))
