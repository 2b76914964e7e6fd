"""Servers that run the code of this checkout, wherever the package is installed from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import live
from tests.system.live import Live

Starter = Callable[..., Live]


@pytest.fixture(autouse=True)
def own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    given = live.environment
    own = {"PYTHONPATH": str(Path(__file__).parents[3])}
    monkeypatch.setattr(live, "environment", lambda folder, settings: given(folder, settings) | own)


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
