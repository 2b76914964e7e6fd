"""Connection pools fit their servers, and waits for a connection are bounded and measured."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.container import build
from app.server.pool_check import shortages
from config import Settings
from repositories.documents import DocumentStore
from repositories.documents import open_store as open_documents
from repositories.errors import Unavailable
from repositories.hot import open_sessions
from repositories.pool_registry import Pool, Room, pools
from repositories.relational import RelationalStore
from tests.apps import ROLES
from tests.contracts.relational_store import migrated_database, new_database, opened
from tests.engines import Engines, Shared
from tests.notes import RecordingObserver, noting
from tests.system.live import migrated, run
from tests.system.real import real_urls

TIMEOUT = timedelta(seconds=5)


@pytest.fixture
def notes() -> Iterator[RecordingObserver]:
    with noting() as made:
        yield made


class FakePool(Pool):
    def __init__(self, store: str, size: int, room: int | None, *, server: str = "db", beside: int = 0) -> None:
        self.store, self.lane, self.server, self.size, self.beside = store, "calls", server, size, beside
        self._room = room

    def in_use(self) -> int:
        return 0

    def room(self) -> Room | None:
        return None if self._room is None else Room(self._room, "so it is")


def test_pools_within_their_limits_are_no_shortage() -> None:
    assert shortages([FakePool("relational", 4, 24), FakePool("relational", 4, 24)], processes=3) == []


def test_a_server_that_is_too_small_is_named_with_the_numbers() -> None:
    two = [FakePool("sessions", 4, 23), FakePool("cache", 3, 23, beside=1)]
    (line,) = shortages(two, processes=3)
    assert line.startswith("sessions, cache: 3 processes with 8 connections each may open 24, ")
    assert line.endswith("the server takes 23 (so it is)")


def test_servers_are_checked_separately_and_unknown_limits_not_at_all() -> None:
    some = [FakePool("sessions", 4, 8, server="a"), FakePool("cache", 4, 7, server="b")]
    assert len(shortages([*some, FakePool("documents", 99, None, server="c")], processes=2)) == 1


def test_every_role_on_one_postgres_fits_its_default_limit() -> None:
    """Nothing is connected: pools are registered when a store is opened."""
    urls: dict[str, Any] = {f"{role}_url": "postgresql://one.invalid/quartet" for role in ROLES}
    settings = Settings(**urls)
    with closing(build(settings)):
        mine = [pool for pool in pools() if pool.server == "one.invalid"]
        assert {pool.store for pool in mine} == set(ROLES)
        assert (settings.workers + 2) * sum(pool.size + pool.beside for pool in mine) <= 100 - 3


@pytest.fixture(scope="module")
def relational(engines: Shared) -> Iterator[RelationalStore]:
    with opened(new_database(engines.postgres()), pool=2) as store:
        store.migrate()
        yield store


@pytest.fixture(scope="module")
def documents(engines: Shared) -> Iterator[DocumentStore]:
    url = real_urls(engines, "pools", ["documents"])["documents_url"]
    store = open_documents(url, timeout=TIMEOUT, pool=2)
    store.migrate()
    yield store
    store.close()


def lane(store: Any, name: str) -> Pool:
    (found,) = [lane for lane in (store._reading, store._writing) if lane.lane == name]
    return found  # type: ignore[no-any-return]  # the adapter's own


@pytest.mark.live
@pytest.mark.parametrize("command", ["serve", "start", "relay"])
def test_a_server_without_room_is_an_error_at_boot(engines: Shared, tmp_path: Path, command: str) -> None:
    settings = {"RELATIONAL_URL": migrated_database(engines.postgres()), "RELATIONAL_TIMEOUT": "10"}
    migrated(tmp_path)
    done = run(tmp_path, command, **settings, WORKERS="3", THREADS="50", RELAY="external")
    assert done.returncode == 1
    for word in (
        "relational: 5 processes with 100 connections each",
        "max_connections is 200",
        "QUARTET_WORKERS (3)",
        "QUARTET_THREADS (50)",
    ):
        assert word in done.stderr, done.stderr


def test_postgres_reports_its_limit_less_reserved_and_foreign_connections(relational: RelationalStore) -> None:
    room = lane(relational, "read").room()
    assert room is not None
    assert 0 < room.connections <= 200 - 3
    assert "max_connections is 200" in room.because


def test_mongo_reports_its_free_connections(documents: DocumentStore) -> None:
    store: Any = documents
    (pool,) = [pool for pool in pools() if pool is store._connection]
    room = pool.room()
    assert room is not None
    assert room.connections > 100


def test_redis_reports_its_limit(own_engines: Engines) -> None:
    url = own_engines.sessions().url
    store = open_sessions(url, timeout=TIMEOUT, pool=97)
    with Redis.from_url(url) as server:
        before = server.config_get("maxclients")["maxclients"]
        server.config_set("maxclients", 96)
        try:
            (pool,) = [pool for pool in pools() if pool.store == "sessions" and pool.size == 97]
            assert pool.room() == Room(96, "maxclients is 96")
            assert len(shortages([pool], processes=1)) == 1
        finally:
            server.config_set("maxclients", before)
    store.close()


def test_waiting_for_a_connection_is_measured_and_bounded(engines: Shared, notes: RecordingObserver) -> None:
    """Two connections are held by transactions; a third transaction waits as long as a call may take."""
    seconds = 0.5
    with opened(new_database(engines.postgres()), timeout=timedelta(seconds=seconds), pool=2) as store:
        store.ping()
        began = time.monotonic()
        with store.transaction(), store.transaction(), pytest.raises(Unavailable), store.transaction():
            raise AssertionError("the third transaction got a connection")
        took = time.monotonic() - began
    assert seconds <= took < 8, "at least as long as the timeout of a call"
    ((store_name, waited),) = [note for note in notes.kept if len(note) == 2]
    assert store_name == "relational"
    assert isinstance(waited, float)
    assert seconds <= waited <= took


def test_calls_with_a_free_connection_do_not_wait(relational: RelationalStore, notes: RecordingObserver) -> None:
    for _ in range(20):
        relational.ping()
    assert [note for note in notes.kept if len(note) == 2] == []


def test_pools_report_their_connections_in_use(relational: RelationalStore) -> None:
    writing = lane(relational, "write")
    with relational.transaction():
        assert writing.in_use() == 1
    assert writing.in_use() == 0
