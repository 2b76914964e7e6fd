"""A system for each test, embedded unless its module says otherwise. The relay is run by the test that wants it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.apps import System, embedded, running
from tests.contracts.relational_store import new_database


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """With the relational store on PostgreSQL for a test that is parametrised so."""
    changes: dict[str, Any] = {}
    if getattr(request, "param", "embedded") == "postgres":
        server = request.getfixturevalue("engines").postgres()
        changes = {"relational_url": new_database(server), "relational_timeout": 10.0}
    return Settings(**embedded(tmp_path) | changes)


@pytest.fixture
def system(settings: Settings) -> Iterator[System]:
    with running(settings) as found:
        yield found
