"""Systems to seed, embedded and on the real engines, and a plan of its own for each test."""

from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest

from app.container import Container
from app.seed.plan import Plan
from tests.apps import embedded, running
from tests.contracts.relational_store import new_database
from tests.engines import Engines
from tests.system.seed.loads import TINY, settings

_seeds = count(100)


@pytest.fixture(scope="module", params=["embedded", pytest.param("engines", marks=pytest.mark.engines)])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    urls = embedded(tmp_path_factory.mktemp("seed"))
    if request.param == "engines":
        urls = real(request.getfixturevalue("engines"))
    with running(settings(urls)) as system:
        yield system.container


def real(engines: Engines) -> dict[str, str]:
    own = f"seed_{uuid4().hex[:12]}"
    return {
        "relational_url": new_database(engines.postgres()),
        "documents_url": engines.mongo().url.replace("/quartet?", f"/{own}?"),
        "feeds_url": engines.cassandra().url.replace("/quartet", f"/{own}"),
        "sessions_url": engines.sessions().url,
        "cache_url": engines.cache().url,
    }


@pytest.fixture
def number() -> int:
    """A seed that no other test of this run uses: its data stands beside theirs."""
    return next(_seeds)


@pytest.fixture
def plan(number: int) -> Plan:
    return Plan(TINY, seed=number)
