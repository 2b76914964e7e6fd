"""Systems to seed, on embedded adapters and the real engines, and a separate plan for each test."""

from collections.abc import Iterator
from itertools import count

import pytest

from app.container import Container
from app.seed.plan import Plan
from tests.apps import embedded, running
from tests.system.real import KEYSPACE, real_urls
from tests.system.seed.loads import TINY, settings

_seeds = count(100)


@pytest.fixture(scope="module", params=["embedded", pytest.param("engines", marks=pytest.mark.engines)])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    urls = embedded(tmp_path_factory.mktemp("seed"))
    if request.param == "engines":
        urls = real_urls(request.getfixturevalue("engines"), "seed", keyspace=KEYSPACE)
    with running(settings(urls)) as system:
        yield system.container


@pytest.fixture
def number() -> int:
    """A seed number that no other test of this run uses, since they share the engines."""
    return next(_seeds)


@pytest.fixture
def plan(number: int) -> Plan:
    return Plan(TINY, seed=number)
