"""The real engines for every test that asks for them."""

import os
from collections.abc import Generator, Iterator
from typing import NoReturn

import pytest

from tests.engines import EngineMissing, Engines


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Start each engine when a test first asks for it, and stop them all at the end."""
    running = Engines()
    yield running
    running.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the engines, also through other fixtures."""
    for item in items:
        if "engines" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Apply the rule to fixtures."""
    try:
        return (yield)
    except EngineMissing as missing:
        _absent(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Apply the rule to tests."""
    try:
        return (yield)
    except EngineMissing as missing:
        _absent(missing)


def _absent(missing: EngineMissing) -> NoReturn:
    """Fail where all engines are promised; elsewhere skip with the name of what is not there."""
    if os.environ.get("CI") or os.environ.get("QUARTET_ENGINES") == "required":
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))
