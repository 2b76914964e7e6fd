"""Redis with a replica that takes over: behind an address that moves to it, and with Sentinel."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from config import Settings
from repositories.errors import ReadOnly
from repositories.hot import SessionStore, open_cache, open_sessions
from repositories.hot.port import NotedEndings
from repositories.hot.redis.key_names import names_of
from repositories.hot.redis.link import RedisLink
from repositories.hot.redis.moving_scripts import MARK, PAUSED
from repositories.hot.redis.target import target_of
from repositories.records.people import Ending, Session
from tests.apps import embedded, running
from tests.engines import Engines, Server, redis
from tests.engines.answering import works
from tests.engines.counted import counted
from tests.engines.kernel import free_port, wait_until
from tests.engines.test_hot_faults import NOW, TIMEOUT, client, session

__all__ = ["counted"]


class Pair(NamedTuple):
    """A master and a replica that is up to date."""

    master: Server
    replica: Server


@pytest.fixture
def pair(own_engines: Engines) -> Iterator[Pair]:
    master = own_engines.sessions()
    replica = redis.launch_replica(own_engines.home, master)
    with client(replica) as there:
        assert wait_until(lambda: there.info("replication")["master_link_status"] == "up", 20)
    yield Pair(master, replica)
    replica.discard()
    own_engines.heal()
    with client(master) as there:
        there.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture
def address(pair: Pair, tmp_path: Path) -> Path:
    """The path of a socket that leads to the master, like a DNS name or a virtual IP address."""
    link = tmp_path / "moved.sock"
    link.symlink_to(redis.socket_of(pair.master))
    return link


def move(address: Path, to: Server) -> None:
    address.unlink()
    address.symlink_to(redis.socket_of(to))


def opened(url: str) -> SessionStore:
    return open_sessions(url, timeout=TIMEOUT, pool=4)


def added(store: SessionStore, digest: bytes) -> Session:
    made = session()
    store.add(made, digest)
    return made


def has(server: Server, digest: bytes) -> bool:
    with client(server) as there:
        return bool(there.exists(f"quartet:session:{digest.hex()}"))


def test_a_planned_switch_is_followed_without_an_error(pair: Pair, address: Path) -> None:
    with closing(opened(f"unix://{address}")) as store, closing(opened(f"unix://{address}")) as reader:
        kept, ended = added(store, b"kept"), added(store, b"ended")
        assert reader.find(b"ended", now=NOW) == ended
        with client(pair.master) as old, client(pair.replica) as new:
            assert wait_until(lambda: has(pair.replica, b"ended"), 20)
            new.execute_command("REPLICAOF", "NO", "ONE")
            # The old master stays up and keeps its connections, but is cut off from replication.
            old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        move(address, pair.replica)
        assert store.end(ended.account_id, ended.id)
        added(store, b"new")
        assert has(pair.replica, b"new")
        # A client that only reads leaves the old master too.
        assert wait_until(lambda: reader.find(b"ended", now=NOW) is None, 20)
        assert reader.find(b"kept", now=NOW) == kept


def test_sentinel_is_followed_to_the_new_master_and_not_back(own_engines: Engines, pair: Pair) -> None:
    sentinel = redis.launch_sentinel(own_engines.home, pair.master)
    with client(pair.master) as there:
        assert wait_until(lambda: there.info("replication")["connected_slaves"] == 1, 20)
    # The first Sentinel of the URL is away.
    url = sentinel.url.replace("//", f"//127.0.0.1:{free_port()},")
    try:
        with closing(opened(url)) as store, closing(opened(url)) as idle:
            added(store, b"before")
            added(idle, b"before")
            pair.master.pause()
            assert wait_until(lambda: works(lambda: added(store, b"after")), 30)
            assert has(pair.replica, b"after")
            # `idle` has open connections to the old master, which accepts writes until Sentinel has demoted it.
            pair.master.resume()
            assert wait_until(lambda: works(lambda: added(idle, b"later")) and has(pair.replica, b"later"), 30)
            with closing(open_cache(url, timeout=TIMEOUT, pool=1)) as cache:
                cache.drop(["any"])
            sentinel.pause()
            added(store, b"without sentinels")
    finally:
        sentinel.discard()


def test_ended_sessions_stay_ended_when_the_replica_missed_the_end(pair: Pair, address: Path) -> None:
    noted: list[Ending] = []
    asked: list[datetime] = []
    found = among(noted)

    def endings(at: datetime, after: UUID | None, limit: int) -> list[Ending]:
        asked.append(at)
        return list(found(at, after, min(limit, 1)))

    def process() -> SessionStore:
        return open_sessions(f"unix://{address}", timeout=TIMEOUT, pool=4, endings=endings)

    def note(of: Session, *, only: bool) -> None:
        now = datetime.now(UTC)
        kept = None if only else of.id
        noted.append(Ending(uuid4(), of.account_id, of.id if only else None, kept, NOW, now, now + timedelta(days=90)))

    with closing(process()) as store, closing(process()) as reader:
        ended, kept = added(store, b"ended"), added(store, b"kept")
        other = replace(session(), account_id=kept.account_id)
        store.add(other, b"other")
        assert wait_until(lambda: has(pair.replica, b"other"), 20)
        asked.clear()
        with client(pair.replica) as cut:
            cut.execute_command("REPLICAOF", "127.0.0.1", free_port())
            note(ended, only=True)
            assert store.end(ended.account_id, ended.id)
            note(kept, only=False)
            store.end_all(kept.account_id, keep=kept.id)
            assert asked == [], "endings are not read while the server is the same"
            pair.master.kill()
            cut.execute_command("REPLICAOF", "NO", "ONE")
        move(address, pair.replica)
        assert has(pair.replica, b"ended")
        with closing(process()) as fresh:
            for each in (store, reader, fresh):
                assert each.find(b"ended", now=NOW) is None
                assert each.find(b"other", now=NOW) is None
                assert each.find(b"kept", now=NOW) == kept
        assert not has(pair.replica, b"ended")


def test_a_store_opened_while_a_move_switches_waits_for_its_end(pair: Pair) -> None:
    """If the mover has died, the pause that it set expires."""
    with closing(opened(pair.master.url)) as store:
        ended = added(store, b"ended")
    now = datetime.now(UTC)
    noted = [Ending(uuid4(), ended.account_id, ended.id, None, NOW, now, now + timedelta(days=90))]

    with client(pair.master) as there:
        there.set(MARK, "leaving 1 move url")
        there.set(PAUSED, "token", px=500)
        try:
            patient = timedelta(seconds=20)
            with closing(open_sessions(pair.master.url, timeout=patient, pool=1, endings=among(noted))) as fresh:
                assert fresh.find(b"ended", now=NOW) is None
        finally:
            there.delete(MARK, PAUSED)


def among(noted: Sequence[Ending]) -> NotedEndings:
    """Return a function that reads endings from this growing list, in the order of the relational store."""

    def place(ending: Ending) -> tuple[datetime, UUID]:
        return ending.noted_at, ending.id

    def endings(at: datetime, after: UUID | None, limit: int) -> list[Ending]:
        return sorted((one for one in noted if place(one) > (at, after or UUID(int=0))), key=place)[:limit]

    return endings


def test_readiness_distinguishes_a_replica_from_an_unavailable_store(pair: Pair, tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"sessions_url": pair.replica.url})) as system:
        answer = system.anybody().send("GET", "/health/ready")
        assert answer.status_code == 503
        assert answer.get_json()["stores"]["sessions"]["status"] == "read_only"
        pair.replica.kill()
        found = system.anybody().send("GET", "/health/ready").get_json()["stores"]
        assert (found["sessions"]["status"], found["cache"]["status"]) == ("unavailable", "ok")


def test_a_store_that_refuses_writes_raises_read_only(pair: Pair) -> None:
    with closing(opened(pair.replica.url)) as store:
        with pytest.raises(ReadOnly):
            store.ping()
        with pytest.raises(ReadOnly):
            store.find(b"x", now=NOW)
    with closing(opened(pair.master.url)) as store, client(pair.master) as there:
        store.ping()
        there.config_set("min-replicas-to-write", "2")
        try:
            with pytest.raises(ReadOnly):
                store.ping()
        finally:
            there.config_set("min-replicas-to-write", "0")
        store.ping()


def test_a_master_that_was_a_replica_meanwhile_is_greeted_again(
    own_engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection stayed open, so only the server's replication id shows that it was a replica."""
    monkeypatch.setattr("repositories.hot.redis.link._ROLE_SECONDS", 0)
    server = own_engines.sessions()
    greeted: list[str] = []
    link = RedisLink(
        target_of(server.url), role="cache", timeout=TIMEOUT, pool=1, greet=lambda wire, _: greeted.append(wire.history)
    )
    with client(server) as there, closing(link):
        link.exchange(("GET", "a"), again=True)
        there.execute_command("REPLICAOF", "127.0.0.1", "1")
        there.execute_command("REPLICAOF", "NO", "ONE")
        link.exchange(("GET", "a"), again=True)
    before, after = greeted
    assert before != after


def test_names_are_complete_although_the_server_restarts_meanwhile(own_engines: Engines) -> None:
    """Its new process orders keys differently, so the cursor of the old one would skip many of them."""
    server = own_engines.sessions()
    every = {f"named:{number}".encode() for number in range(2000)}
    with (
        client(server) as there,
        closing(RedisLink(target_of(server.url), role="cache", timeout=TIMEOUT, pool=1)) as link,
    ):
        there.mset(dict.fromkeys(every, b""))
        batches = names_of(link, "named:", count=100)
        found = {name for _ in range(10) for name in next(batches)}
        assert found < every
        server.kill()
        server.start()
        found.update(name for batch in batches for name in batch)
        assert found == every
        there.delete(*every)
