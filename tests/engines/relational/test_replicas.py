"""Reads on a standby: clients see their own writes, however late the standby is, and its failures cause no error.

`QUARTET_OWN_READS` sets the number of reads in the test under a replay delay.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from app.doctor.advice.rule import judged, rules
from config import Settings
from repositories import read_your_writes
from repositories.observer_port import EngineObserver, observe
from repositories.observers import open_observer
from repositories.records.graph import Follow
from repositories.relational import RelationalStore, open_store
from tests.apps import System, embedded, running
from tests.contracts.relational_store import NOW, register
from tests.engines import Engines, Server, postgres
from tests.engines.counted import CountingObserver, counted
from tests.engines.kernel import wait_until
from tests.engines.relational.calls import POOL, TIMEOUT

__all__ = ["counted"]
OWN_READS = int(os.environ.get("QUARTET_OWN_READS", "300"))
# The probability of a write before a read.
WRITES = 0.03
# The minimum share of reads that a standby answers, checked only with more than `MANY` reads.
SHARE, MANY = 0.6, 5000
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def standby(own_engines: Engines) -> Iterator[Server]:
    server = postgres.launch_standby(own_engines.home, own_engines.postgres())
    yield server
    server.discard()


class Reader(NamedTuple):
    """A store that reads on the standby, and a connection to the standby."""

    store: RelationalStore
    admin: psycopg.Connection

    def pause(self) -> None:
        """Pause replay until the end of the test."""
        self.admin.execute("SELECT pg_wal_replay_pause()")
        assert wait_until(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused", 10)

    def ask(self, statement: str) -> object:
        return (self.admin.execute(statement).fetchone() or (None,))[0]


@pytest.fixture
def reader(server: Server, url: str, standby: Server) -> Iterator[Reader]:
    host = f"127.0.0.1:{urlsplit(standby.url).port}"
    store = open_store(url, timeout=TIMEOUT, pool=POOL, replicas=host)
    with psycopg.connect(standby.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM RESET recovery_min_apply_delay")
        admin.execute("SELECT pg_reload_conf()")
        assert wait_until(lambda: [one.serves for one in store.replicas()] == [True], 30)
        yield Reader(store, admin)
        admin.execute("SELECT pg_wal_replay_resume()")
    store.close()


def follow(store: RelationalStore, one: UUID, other: UUID) -> read_your_writes.Positions:
    """Write as a client. Returns its positions."""
    with read_your_writes.primary():
        mine = read_your_writes.begin({}, reads=False)
        with store.transaction() as unit:
            unit.graph.follow(Follow(one, other, NOW))
        return mine.positions


def followed(store: RelationalStore, account: UUID, positions: read_your_writes.Positions) -> list[UUID]:
    """Read as a client with these positions."""
    with read_your_writes.primary():
        read_your_writes.begin(positions, reads=True)
        return [edge.account_id for edge in store.graph.following(account, before=None, limit=60)]


def test_writers_see_their_writes_and_others_read_on_the_standby(reader: Reader, counted: CountingObserver) -> None:
    store = reader.store
    one, other, third = register(store, 3)
    position = follow(store, one, other)
    assert wait_until(lambda: followed(store, one, position) == [other] and "replica" in counted.reads, 20)
    reader.pause()
    position = follow(store, one, third)
    counted.reads.clear()
    for _ in range(20):
        assert set(followed(store, one, position)) == {other, third}
    assert "replica" not in counted.reads
    assert wait_until(lambda: followed(store, one, {}) == [other], 20)
    assert counted.reads["replica"] == 1


def test_reads_for_the_cache_or_for_decisions_use_the_primary(reader: Reader) -> None:
    store = reader.store
    one, other = register(store, 2)
    reader.pause()
    follow(store, one, other)
    with read_your_writes.primary():
        read_your_writes.begin({}, reads=True)
        with read_your_writes.primary():
            assert len(store.graph.following(one, before=None, limit=5)) == 1
        assert store.graph.relations(one, [other])[other].following
        assert store.accounts.get([one])
    with read_your_writes.primary():
        read_your_writes.begin({}, reads=False)
        assert len(store.graph.following(one, before=None, limit=5)) == 1
    # Without positions, outside of a request, as in the relay.
    assert len(store.graph.following(one, before=None, limit=5)) == 1


def test_own_reads_are_never_stale_and_most_others_use_the_lagging_standby(
    reader: Reader, counted: CountingObserver
) -> None:
    store = reader.store
    reader.admin.execute("ALTER SYSTEM SET recovery_min_apply_delay = '200ms'")
    reader.admin.execute("SELECT pg_reload_conf()")
    people, random = register(store, 50), Random(7)  # noqa: S311  no secret
    positions: dict[UUID, read_your_writes.Positions] = {one: {} for one in people}
    written: dict[UUID, set[UUID]] = {one: set() for one in people}
    counted.reads.clear()
    stale = 0
    for _ in range(OWN_READS):
        one = random.choice(people)
        if random.random() < WRITES:
            other = random.choice(people)
            if one != other:
                positions[one] = follow(store, one, other)
                written[one].add(other)
        stale += set(followed(store, one, positions[one])) != written[one]
    assert stale == 0
    log.info("where %d reads went: %s", OWN_READS, counted.reads)
    if OWN_READS > MANY:
        # Right after a write, the standby was behind the client's position.
        assert counted.reads["behind"] > 0
        assert counted.reads["replica"] > OWN_READS * SHARE


def test_a_read_that_is_cancelled_by_replay_is_answered_by_the_primary(
    reader: Reader, counted: CountingObserver
) -> None:
    store = reader.store
    one, other = register(store, 2)
    position = follow(store, one, other)
    assert wait_until(lambda: followed(store, one, position) == [other] and "replica" in counted.reads, 10)
    # End the pool's connections, as such a conflict does.
    reader.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'quartet' AND pid <> pg_backend_pid()"
    )
    for _ in range(5):
        assert followed(store, one, position) == [other]


def test_a_frozen_standby_costs_little_and_fails_no_read(
    reader: Reader, standby: Server, counted: CountingObserver
) -> None:
    store = reader.store
    one, other = register(store, 2)
    position = follow(store, one, other)
    standby.pause()
    try:
        for _ in range(20):
            assert followed(store, one, position) == [other]
        assert wait_until(lambda: store.notes() == ["1 of 1 replicas are away or too far behind"], 20)
        store.ping()
    finally:
        standby.resume()
    assert wait_until(lambda: store.notes() == [], 20)
    counted.reads.clear()
    assert wait_until(lambda: followed(store, one, position) == [other] and "replica" in counted.reads, 20)


@pytest.fixture
def system(reader: Reader, standby: Server, url: str, tmp_path: Path) -> Iterator[System]:
    host = f"127.0.0.1:{urlsplit(standby.url).port}"
    with running(Settings(**embedded(tmp_path) | {"relational_replicas": host, "relational_url": url})) as system:
        assert wait_until(lambda: system.container.stores.relational.notes() == [], 20)
        yield system


def test_over_http_writers_see_their_writes_and_stale_pages_are_not_cached(reader: Reader, system: System) -> None:
    ada, bob, nobody = system.person(), system.person(), system.anybody()
    post, path = bob.publish(), f"/accounts/{ada.handle}/following"
    reader.pause()
    followed = ada.send("PUT", f"/accounts/{bob.handle}/follow")
    assert ada.get(path)["items"][0]["account"]["handle"] == bob.handle
    ada.put(f"/posts/{post}/like")
    # The first answer is assembled, the second is a kept page.
    for _ in range(2):
        assert ada.get(f"/posts/{post}")["viewer"] == {"liked": True, "following_author": True}

    def is_late(**headers: str) -> bool:
        answer = nobody.send("GET", path, headers=headers)
        on_replica = "relational-replica;" in answer.headers["Server-Timing"]
        # Shared caches must not store the late answer: they would serve it to everybody as fresh.
        assert answer.headers["Cache-Control"].startswith("private" if on_replica else "public")
        return on_replica and answer.get_json()["items"] == []

    assert wait_until(is_late, 20)
    token = followed.headers["Quartet-Seen"]
    seen_by = nobody.send("GET", path, headers={"Quartet-Seen": token})
    assert seen_by.get_json()["items"][0]["account"]["handle"] == bob.handle
    assert "relational-replica;" not in seen_by.headers["Server-Timing"]
    for forged in ("", "x", token[:-2]):
        assert wait_until(lambda forged=forged: is_late(**{"Quartet-Seen": forged}), 20)  # type: ignore[misc]
    # Whole pages are read from the primary, so they are up to date.
    assert nobody.get(f"/accounts/{bob.handle}")["stats"] == {"followers": 1, "following": 0, "posts": 1}
    ada.patch("/accounts/me", {"bio": "New."}, etag=ada.etag("/accounts/me"))
    assert nobody.get(f"/accounts/{ada.handle}")["account"]["bio"] == "New."
    assert nobody.get(f"/posts/{post}")["stats"]["likes"] == 1
    ready = nobody.send("GET", "/health/ready").get_json()
    assert [replica["serves"] for replica in ready["stores"]["relational"]["replicas"]] == [True]
    page = nobody.client.get("/metrics").get_data(as_text=True)
    assert 'quartet_replica_serves{replica="1",store="relational"} 1.0' in page


def test_the_doctor_finds_a_standby_that_lags(reader: Reader, server: Server, url: str) -> None:
    with (
        closing(open_observer(url, ["relational"])) as observer,
        psycopg.connect(server.url, autocommit=True) as writer,
    ):
        reader.pause()
        for _ in range(17):
            writer.execute("SELECT pg_logical_emit_message(false, 'advice', repeat('x', 1 << 20), true)")
        assert wait_until(lambda: "standby-behind" in rules_of(observer), 30)
        reader.admin.execute("SELECT pg_wal_replay_resume()")
        assert wait_until(lambda: "standby-behind" not in rules_of(observer), 30)


def rules_of(observer: EngineObserver) -> set[str]:
    return {one.rule for one in judged(observe(observer), ["relational"], rules())}
