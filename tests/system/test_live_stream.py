"""Live streams as clients get them: real worker processes, real sockets."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from repositories.hot import LiveEvent, Streams, open_streams
from tests.apps import BASE
from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.system.live import HOST, Client, Live, migrated
from tests.system.real import real_urls

pytestmark = pytest.mark.live
TIMEOUT = timedelta(seconds=5)
PATIENCE = 20.0


class Received(NamedTuple):
    id: str
    name: str
    data: Any


class Reader:
    """One open stream."""

    def __init__(self, port: int, client: Client, last_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {client.token}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self._connection.request("GET", f"{BASE}/feed/stream", headers=headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.last_id = self.block().id if self.status == 200 else ""

    def block(self) -> Received:
        """The next block, including heartbeats. Raises `EOFError` at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                self.last_id = fields.get("id", getattr(self, "last_id", ""))
                return Received(self.last_id, fields.get("event", ""), json.loads(fields.get("data", "null")))
            fields[name] = value
        raise EOFError

    def events(self, count: int) -> list[Received]:
        found: list[Received] = []
        while len(found) < count:
            found += [block for block in [self.block()] if block.name]
        return found

    def ends(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.block()
        except EOFError:
            return time.monotonic() < deadline
        return False

    def close(self) -> None:
        self._response.close()
        self._connection.close()


Start = Callable[..., Live]
Follow = Callable[..., Reader]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Opens streams, and closes the remaining ones after the test."""
    opened: list[Reader] = []

    def follower(live: Live, client: Client, last_id: str | None = None) -> Reader:
        opened.append(Reader(live.port, client, last_id))
        return opened[-1]

    yield follower
    for reader in opened:
        reader.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers in one folder."""
    started: list[Live] = []

    def starter(**settings: str) -> Live:
        started.append(Live(tmp_path, "serve", **settings))
        return started[-1].answering()

    if not (tmp_path / "var").exists():
        migrated(tmp_path)
    yield starter
    for live in started:
        live.close()


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    """The streams of the servers' folder, opened like in another process."""
    store = open_streams(f"sqlite:////{tmp_path}/var/quartet.db", timeout=TIMEOUT, pool=1)
    yield store
    store.close()


def account_of(client: Client) -> UUID:
    return UUID(client.ask("GET", "/accounts/me")["account"]["id"])


def event(text: object, size: int = 0) -> LiveEvent:
    return LiveEvent(f"{text}", "post", json.dumps({"n": str(text), "fill": "x" * size}).encode())


def names(received: list[Received]) -> list[str]:
    return [one.data.get("n", one.name) for one in received]


def test_every_reader_of_every_worker_gets_every_event(start: Start, follow: Follow, streams: Streams) -> None:
    live = start(WORKERS="2", THREADS="1")
    ada, bob = live.person("ada"), live.person("bob")
    # More than there are threads, and enough to be on both workers almost certainly.
    readers = [follow(live, person) for person in (ada, bob) for _ in range(6)]
    both = [account_of(ada), account_of(bob)]
    for number in range(30):
        streams.append(both, event(number))
    for reader in readers:
        got = reader.events(30)
        assert names(got) == [str(n) for n in range(30)]
        assert [one.id.split(".")[1] for one in got] == [str(n) for n in range(1, 31)]
    assert ada.send("GET", "/health/live").status == 200
    with closing(follow(live, ada, readers[0].last_id.split(".")[0] + ".27")) as again:
        assert names(again.events(3)) == ["27", "28", "29"]
    with closing(follow(live, ada, readers[-1].last_id)) as foreign:
        assert names(foreign.events(1)) == ["resync"]


def test_a_client_that_is_cut_off_at_random_loses_and_repeats_nothing(
    start: Start, follow: Follow, streams: Streams
) -> None:
    live = start(WORKERS="2")
    ada = live.person("ada")
    got: list[str] = []
    account, last_id, sent = account_of(ada), None, 0
    while len(got) < 200:
        reader = follow(live, ada, last_id)
        for _ in range(17):
            streams.append([account], event(sent))
            sent += 1
        got += names(reader.events(1 + sent % 13))
        last_id = reader.last_id
        reader.close()
    assert got == [str(n) for n in range(len(got))]


def test_streams_survive_a_restart_of_the_server(start: Start, follow: Follow, streams: Streams) -> None:
    live = start()
    ada = live.person("ada")
    reader = follow(live, ada)
    account = account_of(ada)
    streams.append([account], event("before"))
    reader.events(1)
    reader.close()
    live.kill()
    streams.append([account], event("meanwhile"))
    again = start()
    with closing(follow(again, again.signed_in(ada), reader.last_id)) as reader:
        assert names(reader.events(1)) == ["meanwhile"]


def test_a_revoked_session_ends_its_streams_on_every_worker(start: Start, follow: Follow, streams: Streams) -> None:
    live = start(WORKERS="2")
    ada = live.person("ada")
    phone = live.signed_in(ada)
    lost = [follow(live, phone) for _ in range(4)]
    kept = follow(live, ada)
    ada.ask("DELETE", "/sessions")
    assert all(reader.ends(5) for reader in lost), "a stream's time limit or a heartbeat would take longer"
    streams.append([account_of(ada)], event("afterwards"))
    assert names(kept.events(1)) == ["afterwards"]


def test_sigterm_ends_streams_at_once_and_they_go_on_elsewhere(start: Start, follow: Follow, streams: Streams) -> None:
    live = start(WORKERS="2")
    ada = live.person("ada")
    account = account_of(ada)
    readers = [follow(live, ada) for _ in range(8)]
    live.terminate()
    assert all(reader.ends(5) for reader in readers)
    assert live.ended(8) == 0, "a drain of running requests would take ten seconds"
    streams.append([account], event("meanwhile"))
    again = start()
    with closing(follow(again, again.signed_in(ada), readers[0].last_id)) as reader:
        assert names(reader.events(1)) == ["meanwhile"]


def test_streams_are_limited_and_a_client_that_left_frees_its_slot(
    start: Start, follow: Follow, streams: Streams
) -> None:
    live = start(WORKERS="1", THREADS="1", STREAMS="3")
    ada, bob = live.person("ada"), live.person("bob")
    readers = [follow(live, ada) for _ in range(3)]
    refused = bob.send("GET", "/feed/stream")
    assert (refused.status, refused.body["code"]) == (503, "streams_taken")
    assert refused.headers["retry-after"]
    readers[0].close()
    accepted: list[Reader] = []

    def taken() -> bool:
        # Sending something reveals the disconnected client before the next heartbeat does.
        streams.append([account_of(ada)], event(uuid4()))
        accepted.append(follow(live, bob))
        return accepted[-1].status == 200

    assert wait_until(taken, 12)


def test_a_client_that_never_reads_is_dropped_and_costs_little(start: Start, follow: Follow, streams: Streams) -> None:
    live = start(WORKERS="1", THREADS="1", STREAMS="1")
    ada, bob = live.person("ada"), live.person("bob")
    account = account_of(ada)
    [worker] = live.workers
    before = resident(worker.pid)
    with socket.create_connection((HOST, live.port)) as stalled:
        stalled.sendall(
            f"GET {BASE}/feed/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\n\r\n".encode()
        )
        assert wait_until(lambda: account in streams.listeners(after=None, limit=10), 5)

        def place_is_free() -> bool:
            for _ in range(20):
                streams.append([account], event(uuid4(), size=20_000))
            with closing(follow(live, bob)) as reader:
                return reader.status == 200

        assert wait_until(place_is_free, 30)
        assert resident(worker.pid) - before < 60_000_000
        assert ada.send("GET", "/accounts/me").status == 200


def resident(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    [line] = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def test_on_redis_a_lost_cache_is_one_resync_and_the_stream_continues(
    start: Start, follow: Follow, own_engines: Engines
) -> None:
    urls = {name.upper(): url for name, url in real_urls(own_engines, "live_stream", ["sessions", "cache"]).items()}
    live = start(WORKERS="2", **urls)
    streams = open_streams(urls["CACHE_URL"], timeout=TIMEOUT, pool=1)
    ada = live.person("ada")
    account = account_of(ada)
    readers = [follow(live, ada) for _ in range(6)]
    streams.append([account], event("first"))
    assert [names(reader.events(1)) for reader in readers] == [["first"]] * 6
    own_engines.cache().kill()
    own_engines.cache().restart()
    for reader in readers:
        assert names(reader.events(1)) == ["resync"]
    streams.append([account], event("second"))
    assert [names(reader.events(1)) for reader in readers] == [["second"]] * 6
    streams.close()
