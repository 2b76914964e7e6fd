"""Redis refused, frozen, full, busy, read-only, killed and restarted."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Struct
from redis import Redis
from redis.exceptions import ResponseError

from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, SessionStore, Value, open_cache, open_sessions
from repositories.records.people import Session
from tests.engines import Engines, Server
from tests.engines.kernel import free_port, wait_until
from tests.engines.slack import SLACK

NOW = datetime(2031, 5, 17, tzinfo=UTC)
TIMEOUT = timedelta(seconds=0.4)
LIMIT = TIMEOUT.total_seconds() + SLACK


class Role(Struct, frozen=True):
    """The session store or the cache, with a call that reads and one that writes. `another` opens it at another URL."""

    server: Server
    another: "Callable[..., Role]"
    store: SessionStore | Cache
    read: Callable[[], object]
    write: Callable[[], object]


@pytest.fixture
def own_engines(own_engines: Engines) -> Iterator[Engines]:
    yield own_engines
    own_engines.heal()


@pytest.fixture(params=["sessions", "cache"])
def role(request: pytest.FixtureRequest, own_engines: Engines) -> Iterator[Role]:
    made = sessions_role(own_engines.sessions()) if request.param == "sessions" else cache_role(own_engines.cache())
    yield made
    made.store.close()


@pytest.fixture
def sessions(own_engines: Engines) -> Iterator[SessionStore]:
    store = open_sessions(own_engines.sessions().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


@pytest.fixture
def cache(own_engines: Engines) -> Iterator[Cache]:
    store = open_cache(own_engines.cache().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


def sessions_role(server: Server, url: str | None = None, pool: int = 4) -> Role:
    store = open_sessions(url or server.url, timeout=TIMEOUT, pool=pool)
    return Role(
        server, sessions_role, store, partial(store.find, b"x", now=NOW), lambda: store.add(session(), uuid4().bytes)
    )


def cache_role(server: Server, url: str | None = None, pool: int = 4) -> Role:
    store = open_cache(url or server.url, timeout=TIMEOUT, pool=pool)
    return Role(server, cache_role, store, partial(store.read, ["x"]), partial(store.drop, ["x"]))


def session() -> Session:
    return Session(uuid4(), uuid4(), None, NOW, NOW + timedelta(days=30))


def client(server: Server) -> Redis:
    return Redis.from_url(server.url, socket_timeout=5)


def fails_in_time(call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - start < LIMIT


def test_nothing_connects_before_the_first_call(own_engines: Engines, role: Role) -> None:
    with client(role.server) as redis:
        before = len(redis.client_list())
        sessions_role(role.server).store.close()
        cache_role(role.server).store.close()
        assert len(redis.client_list()) == before


def test_a_refused_connection_ends_a_call_at_once(role: Role) -> None:
    refused = role.another(role.server, f"redis://127.0.0.1:{free_port()}/0")
    for call in (refused.read, refused.write, refused.store.ping):
        fails_in_time(call)


def test_a_missing_unix_socket_fails_in_time(role: Role, tmp_path: Path) -> None:
    fails_in_time(role.another(role.server, f"unix://{tmp_path / 'none.sock'}").read)


def test_a_frozen_server_ends_every_call_by_its_deadline(role: Role) -> None:
    role.read()
    role.server.pause()
    for call in (role.read, role.write, role.store.ping, role.read):
        fails_in_time(call)
    role.server.resume()
    for call in (role.read, role.write, role.store.ping):
        call()


def test_waiting_for_a_connection_counts_towards_the_deadline(role: Role) -> None:
    narrow = role.another(role.server, pool=1)
    narrow.read()
    role.server.pause()
    with ThreadPoolExecutor(6) as threads:
        for job in [threads.submit(fails_in_time, narrow.read) for _ in range(6)]:
            job.result()
    role.server.resume()
    narrow.read()
    narrow.store.close()


def test_a_restart_costs_the_pooled_connections_no_error(role: Role) -> None:
    open_connections(role, 4)
    role.server.kill()
    fails_in_time(role.read)
    fails_in_time(role.write)
    role.server.restart()
    for call in (role.read, role.write) * 4:
        call()
    open_connections(role, 4)
    with client(role.server) as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for call in (role.write, role.read) * 4:
        call()


def open_connections(role: Role, count: int) -> None:
    """Make `count` concurrent calls, so that as many connections are opened."""
    start = threading.Barrier(count)

    def call() -> None:
        start.wait()
        for _ in range(20):
            role.read()

    with ThreadPoolExecutor(count) as threads:
        for job in [threads.submit(call) for _ in range(count)]:
            job.result()


def test_lost_scripts_are_loaded_again(own_engines: Engines, sessions: SessionStore, cache: Cache) -> None:
    made, digest = session(), uuid4().bytes
    for server in (own_engines.sessions(), own_engines.cache()):
        with client(server) as redis:
            redis.script_flush()
    sessions.add(made, digest)
    with client(own_engines.sessions()) as redis:
        redis.script_flush()
    assert sessions.of_account(made.account_id, now=NOW) == [made]
    keys = [f"{uuid4()}" for _ in range(3)]
    leases = cache.lease(dict.fromkeys(keys, b""))
    fills = {k: Fill(lease, Value(b"v"), 60) for k, lease in zip(keys, leases, strict=True) if isinstance(lease, bytes)}
    assert len(fills) == len(keys)
    with client(own_engines.cache()) as redis:
        redis.script_flush()
    assert cache.fill(fills) == set(keys)
    cache.release({"key": b"lease"})
    cache.void()
    assert cache.read(keys) == [None] * 3


def test_a_server_that_refuses_writes_is_unavailable_for_them(own_engines: Engines, role: Role) -> None:
    with client(role.server) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", free_port())
        try:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    role.write()
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")
    role.write()


def test_a_full_session_store_refuses_new_and_finds_old_sessions(own_engines: Engines, sessions: SessionStore) -> None:
    made, digest = session(), uuid4().bytes
    sessions.add(made, digest)
    with client(own_engines.sessions()) as redis:
        redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unavailable):
                sessions.add(session(), uuid4().bytes)
            assert sessions.find(digest, now=NOW) == made
        finally:
            redis.config_set("maxmemory", "0")
    sessions.add(session(), uuid4().bytes)


def test_a_busy_server_is_unavailable(role: Role) -> None:
    role.read()
    with client(role.server) as redis, ThreadPoolExecutor(1) as threads:
        redis.config_set("lua-time-limit", "50")
        endless = threads.submit(lambda: client_eval(role.server, "while true do end"))
        try:
            time_of_busy = time.monotonic() + 5
            while time.monotonic() < time_of_busy and not is_unavailable(role.read):
                pass
            fails_in_time(role.read)
            fails_in_time(role.write)
        finally:
            redis.script_kill()
            endless.result()
            redis.config_set("lua-time-limit", "5000")
    role.read()
    role.write()


def client_eval(server: Server, script: str) -> None:
    with client(server) as redis, pytest.raises(ResponseError, match="killed"):
        redis.eval(script, 0)


def is_unavailable(call: Callable[[], object]) -> bool:
    try:
        call()
    except Unavailable:
        return True
    return False


def test_acknowledged_sessions_survive_a_crash_and_ended_ones_do_not_come_back(
    own_engines: Engines, sessions: SessionStore
) -> None:
    server = own_engines.sessions()
    with client(server) as redis:
        # With `everysec` Redis delays writes to its file while an fsync runs, but acknowledges them at once.
        redis.config_set("appendfsync", "always")
    stop = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write_until, stop, sessions) for _ in range(4)]
        stop.wait(0.7)
        server.kill()
        stop.set()
        outcomes = [writer.result() for writer in writers]
    kept = [pair for outcome in outcomes for pair in outcome[0]]
    ended = [pair for outcome in outcomes for pair in outcome[1]]
    server.restart()
    assert min(len(kept), len(ended)) > 20
    assert [one for one, digest in kept if sessions.find(digest, now=NOW) != one] == []
    assert [one for one, digest in ended if sessions.find(digest, now=NOW)] == []
    assert [one for one, _ in kept if sessions.of_account(one.account_id, now=NOW) != [one]] == []


Acknowledged = list[tuple[Session, bytes]]


def write_until(stop: threading.Event, sessions: SessionStore) -> tuple[Acknowledged, Acknowledged]:
    """Add sessions and end every other one. Returns those whose addition and whose end were acknowledged."""
    kept: Acknowledged = []
    ended: Acknowledged = []
    while not stop.is_set():
        one, digest = session(), uuid4().bytes
        try:
            sessions.add(one, digest)
            if len(kept) <= len(ended):
                kept.append((one, digest))
                continue
            sessions.end(one.account_id, one.id)
            ended.append((one, digest))
        except Unavailable:
            break
    return kept, ended


def test_the_connection_to_a_server_that_became_a_replica_is_closed(role: Role) -> None:
    """The address may lead to another server by now. The writes of both stores are scripts, hence `evalsha`."""
    with client(role.server) as redis:
        own = redis.client_id()
        role.write()
        [used] = [each["id"] for each in redis.client_list() if int(each["id"]) != own and each["cmd"] == "evalsha"][
            -1:
        ]
        redis.replicaof("127.0.0.1", free_port())
        try:
            fails_in_time(role.write)
            # Redis may notice a little later that the connection was closed.
            assert wait_until(lambda: used not in [each["id"] for each in redis.client_list()], 5)
        finally:
            redis.replicaof("NO", "ONE")
    role.write()
