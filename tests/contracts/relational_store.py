"""Relational stores for tests: one per adapter, each with a database of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from msgspec.structs import replace

from repositories.records import Account, Login
from repositories.relational import RelationalStore, open_store
from tests.engines import Reachable

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
TIMEOUT = timedelta(seconds=5)


def new_database(server: Reachable) -> str:
    """The URL of an empty database on the server."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return urlsplit(server.url)._replace(path=f"/{name}").geturl()


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
