"""Servers, or a shop, for one test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.apps import embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Shared
from tests.shop import Clock, Shop
from tests.system.live import Live

Starter = Callable[..., Live]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts servers in one folder, and ends those that still run."""
    started: list[Live] = []

    def starter(**settings: str) -> Live:
        started.append(Live(tmp_path, **settings))
        return started[-1]

    yield starter
    for one in started:
        one.close()


@pytest.fixture(params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    changes: dict[str, Any] = {"anchor_folder": str(tmp_path / "anchors")}
    if request.param == "postgres":
        engines: Shared = request.getfixturevalue("engines")
        changes |= {"relational_url": migrated_database(engines.postgres()), "relational_timeout": 10.0}
    clock = Clock()
    with running(Settings(**embedded(tmp_path) | changes), clock) as system:
        yield Shop(system, clock)
