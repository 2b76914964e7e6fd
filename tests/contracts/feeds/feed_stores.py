"""Feed stores for tests, over every adapter."""

import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from repositories.feeds.port import FeedStore
from repositories.feeds.retention import Clock
from tests.contracts.relational_store import new_database
from tests.engines import Reachable, Shared

RETENTION = timedelta(days=4 * 365)
TIMEOUT = timedelta(seconds=10)
PROCESS = uuid4().hex[:8]  # The modules of a process share its keyspaces, since it takes seconds to make one.


class OpenFeeds(Protocol):
    """Opens another client of the same store, or of a new store without tables."""

    def __call__(self, *, retention: timedelta = ..., clock: Clock = ..., store: str = ...) -> FeedStore: ...


ADAPTERS = ["embedded", *(pytest.param(engine, marks=pytest.mark.engines) for engine in ("postgres", "cassandra"))]

Make = Callable[[str, timedelta, Clock], FeedStore]


def maker(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Make:
    """A function that opens a client of a store by name."""
    if request.param == "embedded":
        return _embedded(folders.mktemp("feeds"))
    engines: Shared = request.getfixturevalue("engines")
    return _cassandra(engines.cassandra()) if request.param == "cassandra" else _postgres(engines.postgres())


def _embedded(folder: Path) -> Make:
    from repositories.feeds.embedded.store import EmbeddedFeeds

    return lambda name, retention, clock: EmbeddedFeeds(
        f"sqlite:///{folder}/{name}.db", retention=retention, clock=clock
    )


def _postgres(server: Reachable) -> Make:
    from repositories.feeds.postgres.store import PostgresFeeds

    url = functools.cache(lambda _name: new_database(server))
    return lambda name, retention, clock: PostgresFeeds(
        url(name), timeout=TIMEOUT, pool=4, retention=retention, clock=clock
    )


def _cassandra(server: Reachable) -> Make:
    from repositories.feeds.cassandra.store import CassandraFeeds

    keyspaces = server.url.rpartition("/")[0]
    return lambda name, retention, clock: CassandraFeeds(
        f"{keyspaces}/{name}_{PROCESS}", timeout=TIMEOUT, retention=retention, clock=clock
    )
