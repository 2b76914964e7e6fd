"""Two servers behind nginx and HAProxy are restarted, and updated, one after the other under load: no request fails."""

import http.client
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.apps import BASE
from tests.engines.kernel import wait_until
from tests.system.live import HOST, ROOT, Client, Live, answer_of, migrated, run
from tests.system.proxies.proxy import running
from tests.system.test_live_stream import Reader

pytestmark = [pytest.mark.engines, pytest.mark.live]
SETTINGS = {"WORKERS": "1", "THREADS": "2", "PROXIES": "1", "DRAIN_SECONDS": "1"}
# With migrations up to 0020.
EARLIER = "f1600b17f7eca72f1c82ba4d5f0829d53e8218a0"
# What a client of the stream is told to wait for.
RETRY = 2.0
# Longer than most connections of a proxy are idle under load, so that some of these use one that was.
IDLE = 0.2


class Load:
    """Requests of one person, each kind again and again on a thread of its own."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.counts = dict.fromkeys(("published", "read", "idle", "slow", "followed"), 0)
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(20)
        self._clients: list[Client] = []
        self._token = ""

    def begin(self, port: int, token: str) -> None:
        self._token = token
        busy, reader, idle = clients = [Client(port, token) for _ in range(3)]
        self._clients += clients
        self._pool.submit(self._repeat, "published", partial(self._publish, busy, 0))
        self._pool.submit(self._repeat, "read", lambda: reader.ask("GET", "/feed"))
        self._pool.submit(self._repeat, "idle", partial(self._publish, idle, IDLE))
        self._pool.submit(self._repeat, "slow", partial(self._send_slowly, port))
        self._pool.submit(self._repeat, "followed", partial(self._follow, port))

    def goes_on(self) -> bool:
        """Wait until each kind but streams, which end with a server only, was answered once more."""
        before = dict(self.counts)
        return wait_until(lambda: all(self.counts[kind] > before[kind] for kind in before if kind != "followed"), 60)

    def stop(self) -> None:
        self._over.set()

    def close(self) -> None:
        """When the servers are gone, with which the streams end."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()

    def _repeat(self, kind: str, act: Callable[[], object]) -> None:
        while not self._over.is_set():
            try:
                act()
                self.counts[kind] += 1
            except (AssertionError, OSError, http.client.HTTPException) as error:
                if not self._over.is_set():
                    self.failed.append(f"{kind}: {error!r}")

    def _publish(self, client: Client, pause: float) -> None:
        self._over.wait(pause)
        client.publish("A post")

    def _send_slowly(self, port: int) -> None:
        body = json.dumps({"title": "Slow", "body": "x"}).encode()
        head = (
            f"POST {BASE}/posts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((HOST, port), timeout=30) as connection:
            connection.sendall(head.encode() + body[:9])
            self._over.wait(IDLE)
            connection.sendall(body[9:])
            assert answer_of(connection).status == 201

    def _follow(self, port: int) -> None:
        """One stream until it ends."""
        with closing(Reader(port, Client(port, self._token))) as reader:
            assert reader.status == 200
            with suppress(EOFError):
                while not self._over.is_set():
                    reader.block()
        self._over.wait(RETRY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated(tmp_path)
    return tmp_path


@contextmanager
def under_load(start: Callable[..., Live]) -> Iterator[tuple[Load, list[Live]]]:
    """Two servers behind both proxies, with load through these until the block ends. No request has failed then."""
    with ExitStack() as stack:
        load = Load()
        stack.callback(load.close)
        first = [start(), start()]
        ports = [live.answering().port for live in first]
        token = first[0].person("ada").token or ""
        for name in ("nginx", "haproxy"):
            load.begin(stack.enter_context(running(name, *ports)).port, token)
        stack.callback(load.stop)
        yield load, first
        assert load.goes_on()
        assert load.failed == []


def replace(live: Live, start: Callable[..., Live]) -> None:
    """By one on the same port."""
    live.terminate()
    assert wait_until(partial(is_draining, live), 20)
    assert live.ended(20) == 0
    start(PORT=f"{live.port}").answering()


@pytest.fixture
def started() -> Iterator[Callable[..., Live]]:
    with ExitStack() as stack:

        def start(folder: Path, **settings: str) -> Live:
            live = Live(folder, **SETTINGS, **settings)
            stack.callback(live.close)
            return live

        yield start


@pytest.mark.proof
def test_a_rolling_restart_under_load_fails_no_request(folder: Path, started: Callable[..., Live]) -> None:
    start = partial(started, folder)
    with under_load(start) as (load, first):
        for live in first:
            assert load.goes_on()
            replace(live, start)
    assert load.counts["followed"] > 0, "each stream ended with its server, and came back"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The code of `EARLIER`."""
    tree, packed = tmp_path_factory.mktemp("earlier"), tmp_path_factory.mktemp("packed") / "earlier.tar"
    command = ["git", "archive", "--output", str(packed), EARLIER, "app", "config", "repositories"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        pytest.skip(f"the history of this checkout has no {EARLIER[:9]}")
    shutil.unpack_archive(packed, tree, filter="data")
    return str(tree)


@pytest.mark.proof
def test_an_update_under_load_fails_no_request(tmp_path: Path, earlier: str, started: Callable[..., Live]) -> None:
    """From an earlier version with data: migrate, then one server after the other. Both versions serve meanwhile."""

    def done(*arguments: str, **more: str) -> str:
        found = run(tmp_path, *arguments, **more)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    done("migrate", tree=earlier)
    done("seed", "--size", "small", tree=earlier)
    start = partial(started, tmp_path)
    with under_load(partial(start, tree=earlier)) as (load, first):
        assert load.goes_on()
        assert "relational: 0021 " in done("migrate")
        for live in first:
            assert load.goes_on()
            replace(live, start)
    assert "0 steps" in done("migrate")
    done("doctor", "ledger")
    done("doctor", "drift", "--no-repair")
    done("seed", "--size", "small", "--verify")


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
