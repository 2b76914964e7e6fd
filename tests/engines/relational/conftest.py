"""The server, a database on it, and a store with a short timeout."""

from collections.abc import Iterator

import pytest

from repositories.relational import RelationalStore
from tests.contracts.relational_store import new_database, opened
from tests.engines import Engines, Server
from tests.engines.relational.calls import POOL, TIMEOUT


@pytest.fixture
def server(own_engines: Engines) -> Iterator[Server]:
    yield own_engines.postgres()
    own_engines.heal()


@pytest.fixture(scope="module")
def url(own_engines: Engines) -> str:
    url = new_database(own_engines.postgres())
    with opened(url) as store:
        store.migrate()
    return url


@pytest.fixture
def store(server: Server, url: str) -> Iterator[RelationalStore]:
    with opened(url, timeout=TIMEOUT, pool=POOL) as store:
        yield store
