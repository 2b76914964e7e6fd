"""Verification finds every kind of difference."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.container import Container
from app.seed.plan import Plan
from tests.apps import embedded, running
from tests.engines import Shared
from tests.system.real import KEYSPACE, real_urls
from tests.system.seed.damage import PLANTED
from tests.system.seed.loads import TINY, differences, load, settings

# One kind of damage for each store; on the engines the others are tested as proofs.
ON_ENGINES = {"delete_post", "unfollow", "lose_a_delivery", "spend"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the data set."""
    directory = tmp_path_factory.mktemp("loaded")
    with running(settings(embedded(directory))) as system:
        load(system.container, Plan(TINY))
    return directory / "quartet.db"


@pytest.fixture(scope="module")
def on_engines(engines: Shared) -> Iterator[Container]:
    with running(settings(real_urls(engines, "seed", keyspace=KEYSPACE))) as system:
        yield system.container


@pytest.fixture(params=["embedded", pytest.param("engines", marks=pytest.mark.engines)])
def loaded(request: pytest.FixtureRequest, number: int, tmp_path: Path) -> Iterator[tuple[Container, Plan]]:
    """A system with a data set: a copy of the file, or another data set on the engines."""
    if request.param == "engines":
        container, plan = request.getfixturevalue("on_engines"), Plan(TINY, seed=number)
        load(container, plan)
        yield container, plan
        return
    shutil.copy(request.getfixturevalue("file"), tmp_path / "quartet.db")
    with running(settings(embedded(tmp_path))) as system:
        yield system.container, Plan(TINY)


@pytest.mark.long
@pytest.mark.parametrize(
    "planted",
    [pytest.param(one, marks=() if one.__name__ in ON_ENGINES else pytest.mark.proof(on="engines")) for one in PLANTED],
)
def test_verify_finds_differences(loaded: tuple[Container, Plan], planted: Callable[[Container, Plan], str]) -> None:
    line = planted(*loaded)
    found = differences(*loaded)
    assert [one for one in found if one.startswith(line)], found


def test_verify_audits_the_books(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "quartet.db")
    with running(settings(embedded(tmp_path))) as system:
        with closing(sqlite3.connect(tmp_path / "quartet.db")) as books:
            books.execute("UPDATE ledger_accounts SET head = zeroblob(32) WHERE entries > 0")
            books.commit()
        found = differences(system.container, Plan(TINY))
    assert found
    assert all(line.startswith("ledger account ") for line in found)
