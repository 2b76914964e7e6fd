"""Rolling restarts and updates of two servers behind nginx and HAProxy, under load: no request fails."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.apps import ROLES
from tests.contracts.relational_store import new_database
from tests.engines.kernel import wait_until
from tests.system.live import ROOT, Client, Live, migrated, run
from tests.system.proxies.load import Load
from tests.system.proxies.proxy import running
from tests.system.real import real_urls

pytestmark = [pytest.mark.engines, pytest.mark.live]
SETTINGS = {"WORKERS": "1", "THREADS": "2", "PROXIES": "1", "DRAIN_SECONDS": "1", "BOOT_SECONDS": "60"}
# Commits with migrations up to 0020, and up to 0022.
EARLIER = "f1600b17f7eca72f1c82ba4d5f0829d53e8218a0"
LATER = "62b5f1d08c2c5f6fc624d6bb00fe180ec19dea5f"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated(tmp_path)
    return tmp_path


@contextmanager
def under_load(start: Callable[..., Live]) -> Iterator[tuple[Load, list[Live]]]:
    """Two servers behind both proxies, with load through the proxies until the block ends. Asserts that none failed."""
    with ExitStack() as stack:
        first = [start(), start()]
        ports = [live.answering().port for live in first]
        load = Load(first[0].person("ada"))
        stack.callback(load.close)
        for name in ("nginx", "haproxy"):
            load.begin(stack.enter_context(running(name, *ports)).port)
        stack.callback(load.stop)
        yield load, first
        assert load.goes_on(), load.failed
        assert load.failed == []


def replace(live: Live, start: Callable[..., Live]) -> None:
    """Replace a server by a new one on the same port."""
    live.terminate()
    assert wait_until(partial(is_draining, live), 20)
    assert live.ended(20) == 0
    start(PORT=f"{live.port}").answering()


@pytest.fixture
def started() -> Iterator[Callable[..., Live]]:
    with ExitStack() as stack:

        def start(folder: Path, **settings: str) -> Live:
            live = Live(folder, **SETTINGS | settings)
            stack.callback(live.close)
            return live

        yield start


@pytest.mark.proof
def test_a_rolling_restart_under_load_fails_no_request(folder: Path, started: Callable[..., Live]) -> None:
    start = partial(started, folder)
    with under_load(start) as (load, first):
        for live in first:
            assert load.goes_on(), load.failed
            replace(live, start)
    followed = sum(count for (kind, _), count in load.counts.items() if kind == "followed")
    assert followed > 0, "no stream reconnected after its server had ended"


@pytest.fixture(scope="module", params=[EARLIER, LATER], ids=lambda commit: str(commit)[:7])
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The code of that commit."""
    tree, packed = tmp_path_factory.mktemp("earlier"), tmp_path_factory.mktemp("packed") / "earlier.tar"
    command = [
        "git",
        "archive",
        "--output",
        str(packed),
        request.param,
        "app",
        "config",
        "repositories",
        "pyproject.toml",
    ]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        pytest.skip(f"the history of this checkout has no {request.param[:7]}")
    shutil.unpack_archive(packed, tree, filter="data")
    return str(tree)


@pytest.fixture(params=["embedded", "postgres", "engines"])
def urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """The URLs of stores without any schema; empty for embedded adapters."""
    if request.param == "embedded":
        return {}
    engines = request.getfixturevalue("engines")
    relational = {"relational_url": new_database(engines.postgres())}
    if request.param == "postgres":
        others = {f"{role}_url": relational["relational_url"] for role in ROLES}
    else:
        others = real_urls(engines, "update", set(ROLES) - {"relational"})
    return {name.upper(): value for name, value in (others | relational).items()}


@pytest.mark.proof
def test_an_update_under_load_fails_no_request(
    tmp_path: Path, earlier: str, urls: dict[str, str], started: Callable[..., Live]
) -> None:
    """From an earlier version with data, by the steps of `docs/releases.md`. Both versions serve at the same time."""

    def done(*arguments: str, **more: str) -> str:
        found = run(tmp_path, *arguments, BOOT_SECONDS="60", **urls, **more)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    done("migrate", tree=earlier)
    done("seed", "--size", "small", tree=earlier)
    start = partial(started, tmp_path, **urls)
    # On embedded stores each server includes a relay.
    relays = [start(command="relay", tree=earlier)] if urls else []
    with under_load(partial(start, tree=earlier)) as (load, first):
        assert load.goes_on(), load.failed
        done("migrate")
        relays += [start(command="relay")] if urls else []
        for live in first:
            assert load.goes_on(), load.failed
            replace(live, start)
        for relay in relays[:1]:
            relay.terminate()
            assert relay.ended(30) == 0
    assert wait_until(lambda: done("doctor", "outbox").count(" 0 unsent, 0 dead-lettered") == 2, 60)
    assert "0 steps" in done("migrate")
    done("doctor", "ledger")
    done("doctor", "drift", "--no-repair")
    done("seed", "--size", "small", "--verify")
    assert load.published
    assert load.lost(first[0].port) == set()


def is_draining(live: Live) -> bool:
    with closing(Client(live.port)) as client:
        answer = client.send("GET", "/health/ready")
    return (answer.status, answer.body["status"], answer.headers.get("connection")) == (503, "stopping", "close")


def test_a_second_sigterm_does_not_wait(folder: Path) -> None:
    live = Live(folder, WORKERS="1", DRAIN_SECONDS="600").answering()
    try:
        live.terminate()
        assert wait_until(partial(is_draining, live), 20)
        live.terminate()
        assert live.ended(30) == 0
    finally:
        live.close()
