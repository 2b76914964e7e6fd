"""The test engines keep their data when they crash, and leave nothing behind when the test run crashes."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cassandra.cluster import Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy
from pymongo import MongoClient
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeout

from tests.engines import EngineMissing, Engines, Server, home, jars
from tests.engines.kernel import Process, process, wait_gone

_ROOT = Path(__file__).parents[2]
_RUN = """
from tests.engines import Engines
engines = Engines()
print(engines.home.path, engines.postgres().pid, engines.sessions().pid, flush=True)
input()
"""


def _write_row(url: str) -> Callable[[], object]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 41 + 1 AS answer")

    def read() -> object:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()
            return row and row[0]

    return read


def _write_document(url: str) -> Callable[[], object]:
    with MongoClient[dict[str, Any]](url) as client:
        client["kept"]["kept"].insert_one({"answer": 42})

    def read() -> object:
        with MongoClient[dict[str, Any]](url) as client:
            document = client["kept"]["kept"].find_one()
            return document and document["answer"]

    return read


def _write_key(url: str) -> Callable[[], object]:
    with Redis.from_url(url) as client:
        client.set("kept", 42)

    def read() -> object:
        with Redis.from_url(url) as client:
            value = client.get("kept")
            return isinstance(value, bytes) and int(value)

    return read


def _write_partition(url: str) -> Callable[[], object]:
    port = int(url.rpartition(":")[2].partition("/")[0])
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    _cql(
        port,
        f"CREATE KEYSPACE kept WITH replication = {replication}",
        "CREATE TABLE kept.kept (id int PRIMARY KEY, answer int)",
        "INSERT INTO kept.kept (id, answer) VALUES (1, 42)",
    )
    return lambda: _cql(port, "SELECT answer FROM kept.kept WHERE id = 1")[0].answer


def _cql(port: int, *statements: str) -> list[Any]:
    profile = ExecutionProfile(load_balancing_policy=DCAwareRoundRobinPolicy("datacenter1"), request_timeout=20)
    cluster = Cluster(["127.0.0.1"], port, execution_profiles={"default": profile}, protocol_version=5)
    try:
        session = cluster.connect()
        return [list(session.execute(statement)) for statement in statements][-1]
    finally:
        cluster.shutdown()


@pytest.mark.parametrize(
    ("engine", "write"),
    [
        (Engines.postgres, _write_row),
        (Engines.mongo, _write_document),
        (Engines.sessions, _write_key),
        pytest.param(Engines.cassandra, _write_partition, marks=pytest.mark.proof),
    ],
    ids=["postgres", "mongo", "sessions", "cassandra"],
)
def test_a_crashed_engine_keeps_what_was_written(
    own_engines: Engines, engine: Callable[[Engines], Server], write: Callable[[str], Callable[[], object]]
) -> None:
    server = engine(own_engines)
    read = write(server.url)
    before = server.pid
    server.kill()
    assert not server.running
    server.restart()
    assert server.pid != before
    assert read() == 42


def test_a_killed_cache_is_empty(own_engines: Engines) -> None:
    server = own_engines.cache()
    read = _write_key(server.url)
    server.kill()
    own_engines.heal()
    assert read() is False


def test_a_discarded_engine_is_replaced() -> None:
    engines = Engines()
    try:
        first = engines.cache()
        first.discard()
        engines.heal()
        second = engines.cache()
        assert (first.running, second.running, second is first) == (False, True, False)
        assert engines.cache() is second
    finally:
        engines.close()


def test_a_frozen_engine_continues_after_it_resumes(own_engines: Engines) -> None:
    server = own_engines.sessions()
    with Redis.from_url(server.url, socket_timeout=0.2) as client:
        client.ping()
        server.pause()
        with pytest.raises(RedisTimeout):
            client.ping()
        own_engines.heal()
        assert client.ping()


@pytest.fixture
def crashed_run(own_engines: Engines) -> Iterator[tuple[Path, list[Process]]]:
    """Run a process that starts engines, and kill it while they run."""
    own_engines.postgres()
    own_engines.sessions()
    with subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert select.select([run.stdout], [], [], 60)[0]
        path, *pids = run.stdout.readline().split()
        servers = [found for found in map(process, map(int, pids)) if found]
        run.kill()
    yield Path(path), servers
    home.sweep()


def test_a_crashed_run_leaves_no_server(crashed_run: tuple[Path, list[Process]]) -> None:
    servers = crashed_run[1]
    assert len(servers) == 2
    assert wait_gone(servers, 20)


def test_the_next_run_removes_the_directory_of_a_crashed_one(crashed_run: tuple[Path, list[Process]]) -> None:
    path = crashed_run[0]
    assert path.is_dir()
    home.sweep()
    assert not path.exists()


def test_a_sweep_kills_servers_of_dead_runs_and_spares_living_ones(own_engines: Engines) -> None:
    dead = Path(tempfile.mkdtemp(prefix="quartet-engines-"))
    (dead / "owner").touch()
    with subprocess.Popen(["sleep", "60"]) as forgotten:
        found = process(forgotten.pid)
        assert found is not None
        home.record(dead / "forgotten.pid", found)
        home.sweep()
        assert forgotten.wait(10) == -signal.SIGKILL
    assert not dead.exists()
    assert own_engines.home.path.is_dir()


def test_a_recycled_process_id_is_not_killed() -> None:
    mine = process(os.getpid())
    assert mine is not None
    assert not Process(mine.pid, mine.start - 1).alive()


def test_jars_that_cannot_be_fetched_leave_no_partial_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def broken(_artifact: str, work: Path) -> list[str]:
        (work / "half.jar").touch()
        raise EngineMissing("Cassandra", "a network")

    monkeypatch.setattr(jars, "_download", broken)
    with pytest.raises(EngineMissing, match="Cassandra is missing"):
        jars.jars(jars.CASSANDRA)
    assert list((tmp_path / "quartet").iterdir()) == []
