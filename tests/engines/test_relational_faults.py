"""PostgreSQL refused, frozen, slow, locked, full, killed and restarted."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from repositories.errors import Conflict, Contention, StoreError, Unavailable
from repositories.records import Event, Follow
from repositories.relational import Relational
from repositories.relational.postgres import PostgresRelational
from tests.contracts.relational_store import NOW, new_database, opened, register
from tests.engines import Engines, Server
from tests.engines.kernel import free_port, wait_until

TIMEOUT = timedelta(seconds=0.6)
LIMIT = TIMEOUT.total_seconds() + 0.1
POOL = 3
ACTIVITY = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet'"


@pytest.fixture
def server(engines: Engines) -> Iterator[Server]:
    yield engines.postgres()
    engines.heal()


@pytest.fixture(scope="module")
def url(engines: Engines) -> str:
    url = new_database(engines.postgres())
    with opened(url) as store:
        store.migrate()
    return url


@pytest.fixture
def store(server: Server, url: str) -> Iterator[Relational]:
    with opened(url, timeout=TIMEOUT, pool=POOL) as store:
        yield store


def read(store: Relational) -> None:
    store.accounts.by_handle("ada")


def write(store: Relational) -> None:
    with store.transaction() as unit:
        unit.stock.put(uuid4(), 1)


def claim(store: Relational) -> None:
    store.outbox.claim(now=NOW, lease_until=NOW, limit=1)


CALLS: list[Callable[[Relational], None]] = [read, write, claim, lambda store: store.ping()]


def fails_within(seconds: float, call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        call()
    assert time.monotonic() - start < seconds
    assert caught.value.store == "relational"


def works_again(call: Callable[[], object]) -> bool:
    try:
        call()
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("call", CALLS)
def test_refused(url: str, call: Callable[[Relational], None]) -> None:
    nowhere = urlsplit(url)._replace(netloc=f"quartet@127.0.0.1:{free_port()}").geturl()
    with opened(nowhere, timeout=TIMEOUT, pool=1) as store:
        fails_within(LIMIT, lambda: call(store))
        fails_within(LIMIT, store.migrate)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("used", [True, False])
def test_frozen(store: Relational, server: Server, call: Callable[[Relational], None], used: bool) -> None:  # noqa: FBT001  - whether connections are open
    if used:
        for each in CALLS:
            each(store)
    server.pause()
    fails_within(LIMIT, lambda: call(store))
    fails_within(LIMIT, lambda: call(store))
    server.resume()
    call(store)


def test_frozen_in_the_middle_of_a_transaction(store: Relational, server: Server) -> None:
    product = uuid4()

    def freeze() -> None:
        with store.transaction() as unit:
            unit.stock.put(product, 1)
            server.pause()
            unit.stock.put(product, 2)

    fails_within(2 * LIMIT, freeze)
    server.resume()
    assert store.stock.available([product]) == {product: 0}


def test_more_callers_than_connections_at_a_frozen_server(store: Relational, server: Server) -> None:
    for each in CALLS:
        each(store)
    server.pause()
    with ThreadPoolExecutor(4 * POOL) as pool:
        for ended in [pool.submit(fails_within, LIMIT + 0.1, lambda: read(store)) for _ in range(4 * POOL)]:
            ended.result()
        for ended in [pool.submit(fails_within, LIMIT + 0.1, lambda: write(store)) for _ in range(POOL)]:
            ended.result()
    server.resume()
    for each in CALLS:
        each(store)


def test_a_restart_is_not_noticed_by_the_next_call(store: Relational, server: Server) -> None:
    def all_connections() -> None:
        with ThreadPoolExecutor(POOL) as pool:
            list(pool.map(lambda call: call(store), [read, write] * POOL))

    all_connections()
    server.kill()
    fails_within(LIMIT, lambda: read(store))
    fails_within(LIMIT, lambda: write(store))
    server.restart()
    all_connections()
    server.restart()
    write(store)
    read(store)


def test_connections_ended_by_the_server_are_replaced(store: Relational, url: str) -> None:
    read(store)
    write(store)
    with psycopg.connect(url, autocommit=True) as other:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quartet'"
        assert len(other.execute(ended).fetchall()) >= 2
        assert wait_until(lambda: other.execute(ACTIVITY).fetchone() == (0,), 5)
    write(store)
    read(store)


def test_open_connections_are_bounded(store: Relational, url: str) -> None:
    with ThreadPoolExecutor(8 * POOL) as pool:
        list(pool.map(lambda call: call(store), [read, write, claim] * 40))
    with psycopg.connect(url) as other:
        count = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet' AND datname = current_database()"
        )
        found = other.execute(count).fetchone()
    assert found is not None
    assert found[0] <= 2 * POOL


def test_busy_connections_are_waited_for_no_longer_than_the_timeout(store: Relational) -> None:
    """Transactions that stay open hold their connections; reads have their own."""
    entered, leave = threading.Barrier(POOL + 1), threading.Event()

    def hold() -> None:
        with store.transaction():
            entered.wait()
            leave.wait(10)

    with ThreadPoolExecutor(POOL) as pool:
        held = [pool.submit(hold) for _ in range(POOL)]
        entered.wait()
        fails_within(LIMIT, lambda: write(store))
        read(store)
        leave.set()
        for one in held:
            one.result()
    write(store)


def test_a_slow_statement_is_ended_and_its_connection_kept(store: Relational) -> None:
    assert isinstance(store, PostgresRelational)
    runner = store.accounts._runner  # the way every statement goes
    slow = text("SELECT pg_sleep(5)")
    pid = text("SELECT pg_backend_pid()")
    before = runner.rows(pid, {})
    fails_within(LIMIT, lambda: runner.rows(slow, {}))
    assert runner.rows(pid, {}) == before


def test_waiting_for_a_lock_is_contention(store: Relational) -> None:
    ada, bob = register(store, 2)

    def wait_for_it() -> None:
        with store.transaction() as unit:
            unit.graph.lock(bob, ada)

    with store.transaction() as unit, ThreadPoolExecutor(1) as pool:
        unit.graph.lock(ada, bob)
        start = time.monotonic()
        assert isinstance(pool.submit(wait_for_it).exception(), Contention)
        assert time.monotonic() - start < LIMIT
    wait_for_it()


def test_a_deadlock_is_contention(url: str) -> None:
    barrier = threading.Barrier(2)
    products = [uuid4(), uuid4()]

    def cross(store: Relational, order: list[UUID]) -> StoreError | None:
        try:
            with store.transaction() as unit:
                unit.stock.put(order[0], 1)
                barrier.wait()
                unit.stock.put(order[1], 1)
        except StoreError as error:
            return error
        return None

    with opened(url, timeout=timedelta(seconds=5)) as store, ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda order: cross(store, order), [products, products[::-1]]))
    assert sorted(type(end).__name__ for end in ends) == ["Contention", "NoneType"]


def test_too_many_connections(server: Server, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS lonely")
        other.execute("CREATE ROLE lonely LOGIN SUPERUSER CONNECTION LIMIT 0")
        other.execute("ALTER ROLE lonely NOSUPERUSER")
    lonely = urlsplit(url)._replace(netloc=urlsplit(url).netloc.replace("quartet@", "lonely@")).geturl()
    with opened(lonely, timeout=TIMEOUT, pool=1) as store:
        fails_within(LIMIT, lambda: read(store))


def test_a_store_without_its_tables_is_unavailable(server: Server) -> None:
    with opened(new_database(server), timeout=TIMEOUT) as store:
        fails_within(LIMIT, lambda: read(store))
        store.ping()


def test_a_transaction_left_idle_is_ended(server: Server, url: str) -> None:
    def idle(store: Relational) -> None:
        with store.transaction() as unit:
            unit.stock.put(uuid4(), 1)
            with psycopg.connect(url, autocommit=True) as other:
                idle_ones = f"{ACTIVITY} AND datname = current_database() AND state LIKE 'idle in%'"
                assert wait_until(lambda: other.execute(idle_ones).fetchone() == (0,), 5)
            unit.stock.put(uuid4(), 1)

    with opened(url, timeout=timedelta(seconds=0.1), pool=1) as store:
        with pytest.raises(Unavailable):
            idle(store)
        write(store)


def test_what_was_acknowledged_survives_kills(store: Relational, server: Server) -> None:
    ada, *others = register(store, 200)
    acknowledged: list[UUID] = []
    over = threading.Event()

    def follow_all() -> None:
        for other in others:
            while not (over.is_set() or acknowledged[-1:] == [other]):
                try:
                    with store.transaction() as unit:
                        unit.graph.follow(Follow(other, ada, NOW))
                        unit.emit(Event(other, "followed", str(ada), NOW, b"{}"))
                    acknowledged.append(other)
                except Conflict:  # an earlier try was committed, but its answer lost
                    acknowledged.append(other)
                except (Unavailable, Contention):
                    over.wait(0.01)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(follow_all)
        for goal in (20, 60):
            wait_until(lambda goal=goal: len(acknowledged) >= goal or writing.done(), 10)  # type: ignore[misc]  # default binds
            server.kill()
            server.restart()
        wait_until(lambda: len(acknowledged) >= 90 or writing.done(), 10)
        over.set()
        writing.result()
    kept = set(store.graph.follower_ids(ada, after=None, limit=999))
    assert len(acknowledged) > 60
    assert kept >= set(acknowledged)
    assert store.graph.counts([ada])[ada].followers == len(kept)
    told = set()
    while claims := store.outbox.claim(now=NOW, lease_until=NOW, limit=999):
        told |= {one.event.id for one in claims if one.event.aggregate == str(ada)}
        store.outbox.done(claims)
    assert told == kept


def test_bulk_does_not_outlive_a_freeze(store: Relational, server: Server) -> None:
    ids = register(store, 40)
    rows = [Follow(one, other, NOW) for one in ids for other in ids if one != other]
    with store.transaction() as unit:
        unit.bulk.follows(rows[:10])

    def load() -> None:
        with store.transaction() as unit:
            server.pause()
            unit.bulk.follows(rows)

    fails_within(2 * LIMIT, load)
    server.resume()
    with store.transaction() as unit:
        unit.bulk.follows(rows)
    assert store.graph.counts(ids[:1])[ids[0]].followers == len(ids) - 1
