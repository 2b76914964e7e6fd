"""Worlds to damage: on embedded adapters; on PostgreSQL, MongoDB and Cassandra; and on PostgreSQL alone."""

from collections.abc import Iterator

import pytest

from app.container import Container
from config import Settings
from tests.apps import embedded, running
from tests.system.drift.damage import InCassandra, InPostgres, InSqlite, Timelines
from tests.system.real import KEYSPACE, on_postgres, real_urls

TRUTHS = ("relational", "documents", "feeds")


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("engines", marks=[pytest.mark.engines, pytest.mark.proof]),
        pytest.param("postgres", marks=[pytest.mark.engines, pytest.mark.proof]),
    ]
)
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    urls = embedded(tmp_path_factory.mktemp("drift"))
    if request.param == "engines":
        urls |= real_urls(request.getfixturevalue("engines"), "drift", TRUTHS, keyspace=KEYSPACE)
    if request.param == "postgres":
        urls |= on_postgres(request.getfixturevalue("engines"), ("relational", "feeds"))
    timeouts = {f"{role}_timeout": 10.0 for role in TRUTHS}
    with running(Settings(**urls | timeouts)) as system:
        yield system.container


@pytest.fixture
def timelines(container: Container) -> Iterator[Timelines]:
    url = container.settings.feeds_url
    if url.startswith("sqlite:"):
        yield InSqlite(url)
        return
    if url.startswith("postgresql:"):
        yield InPostgres(url)
        return
    rows = InCassandra(url)
    yield rows
    rows.close()
