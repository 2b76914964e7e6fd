"""Starts the real engines for the tests that use them, and orders and groups the tests."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

from tests.engines import EngineMissing, Engines, Server, cassandra, redis
from tests.engines.home import Home
from tests.engines.shared import Host, Shared

# No deadline for examples: a test must not fail because the machine is busy.
settings.register_profile("quartet", deadline=None)
settings.load_profile("quartet")

_HOST = pytest.StashKey[Host]()
_SHARED = pytest.StashKey[Shared]()


def pytest_configure(config: pytest.Config) -> None:
    """Connect a worker of pytest-xdist to the engines of its parent process."""
    given = getattr(config, "workerinput", None)
    if given:
        config.stash[_SHARED] = Shared(given["engines"], int(given["workerid"].removeprefix("gw")))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the address of the engines to a worker. None is started yet."""
    node.workerinput["engines"] = _host(node.config).socket


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the engines."""
    if _HOST in config.stash:
        config.stash[_HOST].close()


def _host(config: pytest.Config) -> Host:
    if _HOST not in config.stash:
        config.stash[_HOST] = Host()
    return config.stash[_HOST]


def _shared(config: pytest.Config) -> Shared:
    if _SHARED not in config.stash:
        config.stash[_SHARED] = Shared(_host(config).socket, 0)
    return config.stash[_SHARED]


@pytest.fixture(scope="session")
def engines(pytestconfig: pytest.Config) -> Shared:
    """The engines that all tests of the run share; each is started when a test first asks for it."""
    return _shared(pytestconfig)


@pytest.fixture(scope="session")
def own_engines() -> Iterator[Engines]:
    """Engines for tests that kill, freeze, fill or reconfigure them, or count what they do."""
    running = Engines(quick=True)
    yield running
    running.close()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[str]:
    """The URL of a Redis Cluster of three masters."""
    home = Home()
    nodes = redis.launch_cluster(home)
    yield nodes[0].url
    for node in nodes:
        node.discard()
    home.close()


@pytest.fixture(scope="session")
def cassandra_ring() -> Iterator[list[Server]]:
    """Three nodes of Cassandra, for the tests of `make test-clusters`."""
    home, nodes = Home(), list[Server]()
    try:
        nodes += cassandra.launch_ring(home, 3)
        yield nodes
    finally:
        for node in nodes:
            node.discard()
        home.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that use engines, directly or through other fixtures, and sort the tests.

    Tests of a module that use the same kind of engines run in one process and share its fixtures. Tests without engines
    come first, while the engines start; tests that break their own engines come last. Within each kind, modules with
    long tests come first, so that no process is left with one at the end. Runs before pytest-xdist reads the groups.
    """
    groups = {item: _group(item) for item in items}
    if not os.environ.get("QUARTET_PROOFS"):
        proofs = [item for item in items if _is_proof(item)]
        config.hook.pytest_deselected(items=proofs)
        items[:] = [item for item in items if item not in set(proofs)]
    long = {groups[item] for item in items if item.get_closest_marker("long")}
    if hasattr(config, "workerinput"):
        for item, (uses, path) in groups.items():
            item.add_marker(pytest.mark.xdist_group(f"{path.parent.name}/{path.stem}/{uses}"))
    items.sort(key=lambda item: (groups[item][0], groups[item] not in long))


def _is_proof(item: pytest.Item) -> bool:
    """Whether the test is a proof; one marked `proof(on="engines")` is, if it runs on engines. Needs the marks that
    `_group` sets.
    """
    on_engines = item.get_closest_marker("engines") is not None
    return any(on_engines or mark.kwargs.get("on") != "engines" for mark in item.iter_markers("proof"))


def _group(item: pytest.Item) -> tuple[int, Path]:
    """The kind of engines that the test uses (0 none, 1 shared ones, 2 its own), and its module."""
    fixtures = getattr(item, "fixturenames", ())
    if "own_engines" in fixtures:
        item.add_marker(pytest.mark.breaking)
    if {"own_engines", "engines", "redis_cluster"} & set(fixtures):
        item.add_marker(pytest.mark.engines)
    uses = 2 if item.get_closest_marker("breaking") else 1 if item.get_closest_marker("engines") else 0
    return uses, item.path


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the engines while tests without them run. The collected tests are frozen, so that no GC run scans them."""
    gc.collect()
    gc.freeze()
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if hasattr(session.config, "workerinput") and "engines" in used:
        _shared(session.config).begin(kafka="broker" in used)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Apply `_absent` to fixtures."""
    try:
        return (yield)
    except EngineMissing as missing:
        _absent(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Apply `_absent` to tests."""
    try:
        return (yield)
    except EngineMissing as missing:
        _absent(missing)


def _absent(missing: EngineMissing) -> NoReturn:
    """Fail if all engines are required; otherwise skip, naming what is missing."""
    if os.environ.get("CI") or os.environ.get("QUARTET_ENGINES") == "required":
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))
