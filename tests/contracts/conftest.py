"""Fixtures of the relational store for its contract suites."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from repositories.relational import RelationalStore
from tests.contracts.relational_store import migrated_database, migrated_file, opened


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def new_relational(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], RelationalStore]]:
    """A function that opens a new, empty store."""
    with ExitStack() as stores:

        def make() -> RelationalStore:
            if request.param == "postgres":
                url = migrated_database(request.getfixturevalue("engines").postgres())
            else:
                url = migrated_file(tmp_path_factory.mktemp("relational"))
            return stores.enter_context(opened(url, pool=24))

        yield make


@pytest.fixture(scope="module")
def relational(new_relational: Callable[[], RelationalStore]) -> RelationalStore:
    return new_relational()
