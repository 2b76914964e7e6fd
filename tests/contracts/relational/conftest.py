"""Stores for the contract suites of the relational role."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from repositories.relational import RelationalStore
from tests.contracts.relational.logged_events import end
from tests.contracts.relational_store import migrated_database, migrated_file, opened


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def new_store(
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
def store(new_store: Callable[[], RelationalStore]) -> RelationalStore:
    return new_store()


@pytest.fixture
def log_end(store: RelationalStore) -> int:
    """The current end of the event log."""
    return end(store)
