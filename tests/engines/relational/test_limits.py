"""PostgreSQL slow, locked, full or without its tables: the bounds of a call, and the error that it raises."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from repositories.errors import Contention, StoreError, Unavailable
from repositories.relational import RelationalStore
from repositories.relational.postgres.store import PostgresRelational
from tests.contracts.relational_store import new_database, opened, register
from tests.engines import Server
from tests.engines.kernel import wait_until
from tests.engines.relational.calls import ACTIVITY, LIMIT, POOL, TIMEOUT, claim, fails_within, read, write


def test_open_connections_are_bounded(store: RelationalStore, url: str) -> None:
    with ThreadPoolExecutor(8 * POOL) as pool:
        list(pool.map(lambda call: call(store), [read, write, claim] * 40))
    with psycopg.connect(url) as other:
        count = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet' AND datname = current_database()"
        )
        found = other.execute(count).fetchone()
    assert found is not None
    assert found[0] <= 2 * POOL


def test_busy_connections_are_waited_for_no_longer_than_the_timeout(store: RelationalStore) -> None:
    """Open transactions hold all connections for writes. Reads have separate connections."""
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


def test_a_slow_statement_is_ended_and_its_connection_kept(store: RelationalStore) -> None:
    assert isinstance(store, PostgresRelational)
    runner = store.accounts._runner  # every statement is run by it
    slow = text("SELECT pg_sleep(60)")
    pid = text("SELECT pg_backend_pid()")
    before = runner.rows(pid, {})
    fails_within(LIMIT, lambda: runner.rows(slow, {}))
    assert runner.rows(pid, {}) == before


def test_waiting_for_a_lock_is_contention(store: RelationalStore) -> None:
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

    def cross(store: RelationalStore, order: list[UUID]) -> StoreError | None:
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
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "Undone"]


def test_a_call_refused_for_too_many_connections_ends_in_time(server: Server, url: str) -> None:
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
    def idle(store: RelationalStore) -> None:
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
