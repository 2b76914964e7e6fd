"""Servers for one test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
