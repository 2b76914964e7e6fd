"""Relational stores for the contracts of money, stock and orders."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from repositories.relational import Relational
from tests.contracts.relational_store import new_database, opened


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def new_relational(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Relational]]:
    """Opens an empty store."""
    with ExitStack() as stores:

        def make() -> Relational:
            if request.param == "postgres":
                url = new_database(request.getfixturevalue("engines").postgres())
            else:
                url = f"sqlite:///{tmp_path_factory.mktemp('relational') / 'quartet.db'}"
            made = stores.enter_context(opened(url, pool=24))
            made.migrate()
            return made

        yield make


@pytest.fixture(scope="module")
def relational(new_relational: Callable[[], Relational]) -> Relational:
    return new_relational()
