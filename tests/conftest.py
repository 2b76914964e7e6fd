"""The real engines for every test that asks for them, and the order and the groups in which tests run."""

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

# A test fails for what it finds, not for how busy the machine is.
settings.register_profile("quartet", deadline=None)
settings.load_profile("quartet")

_HOST = pytest.StashKey[Host]()
_SHARED = pytest.StashKey[Shared]()


def pytest_configure(config: pytest.Config) -> None:
    """Lead a worker of pytest-xdist to the engines of the process that started it."""
    given = getattr(config, "workerinput", None)
    if given:
        config.stash[_SHARED] = Shared(given["engines"], int(given["workerid"].removeprefix("gw")))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the engines are; none is started yet."""
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
    """Mark what uses the engines, also through other fixtures, and put the tests in order.

    The tests of a module that use the same stay together in one process, for its fixtures. First come those without
    engines, while these start; those that break engines of their own come last. Of each kind long modules come first,
    so that no process is alone with one in the end. This comes before pytest-xdist, which reads the groups.
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
    """`proof(on="engines")` is one on the engines only; it comes after `_group`, which marks these."""
    on_engines = item.get_closest_marker("engines") is not None
    return any(on_engines or mark.kwargs.get("on") != "engines" for mark in item.iter_markers("proof"))


def _group(item: pytest.Item) -> tuple[int, Path]:
    """What the test uses, 0 no engine, 1 those that all share, 2 engines of its own, and its module."""
    fixtures = getattr(item, "fixturenames", ())
    if "own_engines" in fixtures:
        item.add_marker(pytest.mark.breaking)
    if {"own_engines", "engines", "redis_cluster"} & set(fixtures):
        item.add_marker(pytest.mark.engines)
    uses = 2 if item.get_closest_marker("breaking") else 1 if item.get_closest_marker("engines") else 0
    return uses, item.path


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the engines while tests without them run. What was collected stays, so nobody looks for garbage in it."""
    gc.collect()
    gc.freeze()
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if hasattr(session.config, "workerinput") and "engines" in used:
        _shared(session.config).begin(kafka="broker" in used)


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
