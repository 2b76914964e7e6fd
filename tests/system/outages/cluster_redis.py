"""The whole application with sessions in Redis with a replica, and with the cache in a Redis Cluster of six nodes.

Run by `make test-clusters`, which writes the rows to `docs/outages.md`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest

from config import Settings
from tests.apps import PASSWORD, Person, embedded, running
from tests.engines import Server, redis
from tests.engines.counted import CountingObserver, counted
from tests.engines.home import Home
from tests.engines.kernel import free_port, wait_until
from tests.system.outages.traffic import AFTER, PATIENCE, WRITERS, Kind, Row, Traffic, Write, rows_of

__all__ = ["counted"]


class SignIns(Kind):
    """Sign-ins. Every second one is signed out at once, and must never work again."""

    again = False

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._ended: set[str] = set()
        # A 503 left it unknown whether these are signed out.
        self._unknown: set[str] = set()

    def send(self, write: Write) -> Any:
        login = {"login": write.person.handle, "password": PASSWORD}
        return Person(write.person.client, None, {}).send("POST", "/sessions", json=login)

    def is_stale(self, write: Write, answer: Any) -> bool:
        self._tokens[write.name] = token = answer.get_json()["token"]
        status = self._status(write, token)
        if int(write.name[0], 16) % 2:
            ended = self._as(write, token).send("DELETE", "/sessions/current").status_code
            if ended == 204:
                self._ended.add(write.name)
                write.revived = self._status(write, token) == 200
            elif 401 not in {status, ended}:
                self._unknown.add(write.name)
        return status == 401

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        for write in (write for write in writes if write.name in self._tokens):
            works = self._works(write, self._tokens[write.name])
            if write.name in self._ended:
                write.revived |= works
            if works or write.name in self._ended or write.name in self._unknown:
                yield write.name

    def _works(self, write: Write, token: str) -> bool:
        """Whether the token works, once all servers are back."""
        status = 0

        def is_settled() -> bool:
            nonlocal status
            status = self._status(write, token)
            return status in {200, 401}

        assert wait_until(is_settled, PATIENCE)
        return status == 200

    def _status(self, write: Write, token: str) -> int:
        return self._as(write, token).send("GET", "/sessions").status_code

    def _as(self, write: Write, token: str) -> Person:
        return Person(write.person.client, token, {})


class Profiles(Kind):
    """Changes of a profile that is read from the cache."""

    again = False

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def send(self, write: Write) -> Any:
        person = write.person
        profile = person.send("GET", "/accounts/me")
        if profile.status_code != 200:
            return profile
        etag = {"If-Match": profile.headers["ETag"]}
        return person.send("PATCH", "/accounts/me", json={"bio": write.name}, headers=etag)

    def is_stale(self, write: Write, answer: Any) -> bool:
        self._last[write.person.handle] = write.name
        return self._read(write.person) not in (write.name, None)

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        """Checks the last change only, since each overwrites the one before."""
        assert self._read(person) == self._last[person.handle]
        return [write.name for write in writes]

    def _read(self, person: Person) -> str | None:
        page = Person(person.client, None, {}).send("GET", f"/accounts/{person.handle}")
        return str(page.get_json()["account"]["bio"]) if page.status_code == 200 else None


class Pair(NamedTuple):
    """`address` is a link to the master's socket. `move` points it to the replica, like a DNS name after a failover."""

    home: Home
    master: Server
    replica: Server
    address: Path

    def move(self) -> None:
        self.address.unlink()
        self.address.symlink_to(redis.socket_of(self.replica))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    home = Home()
    with ExitStack() as stack:
        stack.callback(home.close)
        master = redis.launch_sessions(home)
        stack.callback(master.discard)
        replica = redis.launch_replica(home, master)
        stack.callback(replica.discard)
        with redis.client(replica) as there:
            assert wait_until(lambda: there.info("replication")["master_link_status"] == "up", PATIENCE)
        address = tmp_path / "moved.sock"
        address.symlink_to(redis.socket_of(master))
        yield Pair(home, master, replica, address)


def switched(pair: Pair, _traffic: Traffic) -> float:
    """A planned switch: writes are paused for a moment, and the old master stays up with its connections open."""
    with redis.client(pair.master) as old, redis.client(pair.replica) as new:
        old.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        written = old.info("replication")["master_repl_offset"]
        assert wait_until(lambda: new.info("replication")["slave_repl_offset"] >= written, PATIENCE)
        new.execute_command("REPLICAOF", "NO", "ONE")
        old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        old.execute_command("CLIENT", "UNPAUSE")
    pair.move()
    return monotonic()


def cut_off(pair: Pair, traffic: Traffic) -> float:
    """Stop replication, and then kill the master: the replica that takes over lacks the last acknowledged writes."""
    with redis.client(pair.replica) as there:
        there.execute_command("REPLICAOF", "127.0.0.1", free_port())
        traffic.goes_on(monotonic(), AFTER)
        pair.master.kill()
        traffic.is_refused()
        there.execute_command("REPLICAOF", "NO", "ONE")
    pair.move()
    return monotonic()


SWITCHES: dict[str, Callable[[Pair, Traffic], float]] = {
    "planned switch, address moved": switched,
    "replication cut, master killed, address moved": cut_off,
}
LOSES = "replication cut, master killed, address moved"
ENDS: dict[str, Callable[[Server], None]] = {
    "master killed, Sentinels promote": Server.kill,
    "master frozen, Sentinels promote, master let go": Server.pause,
}
MAJORITY = "two of three Sentinels away, master killed, Sentinels back"
NODES: dict[str, Callable[[Server], None]] = {
    "Redis Cluster: a master killed": Server.kill,
    "Redis Cluster: a master frozen, then let go": Server.pause,
}


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Row]]:
    with rows_of("redis", [*SWITCHES, *ENDS, MAJORITY, *NODES]) as found:
        yield found


def settings(folder: Path, **urls: str) -> Settings:
    return Settings(**embedded(folder) | urls | {"threads": 2 * WRITERS, "login_failures": 0})


@pytest.mark.parametrize("fault", SWITCHES)
def test_ended_sessions_stay_ended_when_an_address_moves(
    pair: Pair, rows: dict[str, Row], tmp_path: Path, counted: CountingObserver, fault: str
) -> None:
    with running(settings(tmp_path, sessions_url=f"unix://{pair.address}")) as system:
        with Traffic(system, SignIns()) as traffic:
            failed_at = SWITCHES[fault](pair, traffic)
            traffic.goes_on(failed_at, AFTER)
        row = traffic.row(failed_at, lost=len(traffic.writes) if fault == LOSES else 0)
        assert counted.reads.get("lost_tail", 0) >= row.lost, (counted.reads, row)
        rows[fault] = row


@pytest.fixture
def sentinels(pair: Pair) -> Iterator[list[Server]]:
    found = redis.launch_sentinels(pair.home, pair.master)
    yield found
    for sentinel in found:
        sentinel.discard()


def before(traffic: Traffic, fault: float) -> int:
    """The number of sign-ins in the second before a fault, which may be lost: Redis replicates asynchronously."""
    return sum(fault - 1 < write.ended <= fault for write in traffic.acknowledged())


@pytest.mark.parametrize("fault", ENDS)
def test_ended_sessions_stay_ended_when_sentinels_promote(
    pair: Pair, sentinels: list[Server], rows: dict[str, Row], tmp_path: Path, fault: str
) -> None:
    with running(settings(tmp_path, sessions_url=redis.url_of_sentinels(sentinels))) as system:
        with Traffic(system, SignIns()) as traffic:
            ENDS[fault](pair.master)
            failed_at = monotonic()
            traffic.goes_on(failed_at)
            pair.master.resume()
            traffic.goes_on(monotonic(), AFTER)
        rows[fault] = traffic.row(failed_at, lost=before(traffic, failed_at))


def test_a_majority_of_sentinels_that_comes_back_is_followed(
    pair: Pair, sentinels: list[Server], rows: dict[str, Row], tmp_path: Path
) -> None:
    with running(settings(tmp_path, sessions_url=redis.url_of_sentinels(sentinels))) as system:
        with Traffic(system, SignIns()) as traffic:
            for sentinel in sentinels[:2]:
                sentinel.pause()
            traffic.goes_on(monotonic(), AFTER)
            pair.master.kill()
            down = monotonic()
            traffic.is_refused()
            for sentinel in sentinels[:2]:
                sentinel.resume()
            failed_at = monotonic()
            traffic.goes_on(failed_at, AFTER)
        assert [write for write in traffic.acknowledged(down) if write.ended < failed_at] == []
        # Measured from the master's death, since Sentinels that were stopped promote no replica for 30 s.
        rows[MAJORITY] = traffic.row(down, lost=before(traffic, down))


@pytest.mark.parametrize("fault", NODES)
def test_no_stale_value_is_served_after_the_loss_of_a_cluster_master(
    rows: dict[str, Row], tmp_path: Path, fault: str
) -> None:
    home, nodes = Home(), list[Server]()
    try:
        nodes += redis.launch_cluster(home, masters=3, replicas=1)
        with running(settings(tmp_path, cache_url=nodes[0].url)) as system:
            with Traffic(system, Profiles()) as traffic:
                NODES[fault](nodes[0])
                failed_at = monotonic()
                with redis.client(nodes[3]) as replica:
                    assert wait_until(lambda: replica.info("replication")["role"] == "master", PATIENCE)
                traffic.goes_on(monotonic(), AFTER)
                nodes[0].resume()
                traffic.goes_on(monotonic(), AFTER)
            rows[fault] = traffic.row(failed_at)
    finally:
        for node in nodes:
            node.discard()
        home.close()
