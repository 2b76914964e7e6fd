"""PostgreSQL refused, frozen, killed and restarted."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from repositories.errors import Conflict, Contention, Unavailable
from repositories.records.events import Event
from repositories.records.graph import Follow
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW, opened, register
from tests.engines import Server
from tests.engines.kernel import free_port, wait_until
from tests.engines.relational.calls import ACTIVITY, CALLS, LIMIT, POOL, TIMEOUT, fails_within, read, write


def works_again(call: Callable[[], object]) -> bool:
    try:
        call()
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("call", CALLS)
def test_calls_to_a_refusing_server_end_in_time(url: str, call: Callable[[RelationalStore], None]) -> None:
    nowhere = urlsplit(url)._replace(netloc=f"quartet@127.0.0.1:{free_port()}").geturl()
    with opened(nowhere, timeout=TIMEOUT, pool=1) as store:
        fails_within(LIMIT, lambda: call(store))
        fails_within(LIMIT, store.migrate)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("used", [True, False])
def test_calls_to_a_frozen_server_end_in_time(
    store: RelationalStore, server: Server, call: Callable[[RelationalStore], None], *, used: bool
) -> None:
    if used:  # the pool has open connections
        for each in CALLS:
            each(store)
    server.pause()
    fails_within(LIMIT, lambda: call(store))
    fails_within(LIMIT, lambda: call(store))
    server.resume()
    call(store)


def test_a_transaction_on_a_frozen_server_is_rolled_back_in_time(store: RelationalStore, server: Server) -> None:
    product = uuid4()

    def freeze() -> None:
        with store.transaction() as unit:
            unit.stock.put(product, 1)
            server.pause()
            unit.stock.put(product, 2)

    fails_within(2 * LIMIT, freeze)
    server.resume()
    assert store.stock.available([product]) == {product: 0}


def test_calls_that_wait_for_a_connection_to_a_frozen_server_end_in_time(
    store: RelationalStore, server: Server
) -> None:
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


def test_the_first_calls_after_a_restart_succeed(store: RelationalStore, server: Server) -> None:
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


def test_connections_ended_by_the_server_are_replaced(store: RelationalStore, url: str) -> None:
    read(store)
    write(store)
    with psycopg.connect(url, autocommit=True) as other:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quartet'"
        assert len(other.execute(ended).fetchall()) >= 2
        assert wait_until(lambda: other.execute(ACTIVITY).fetchone() == (0,), 20)
    write(store)
    read(store)


@pytest.mark.proof
def test_acknowledged_writes_survive_kills(store: RelationalStore, server: Server) -> None:
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
    kept = {edge.account_id for edge in store.graph.followers(ada, before=None, limit=999)}
    assert len(acknowledged) > 60
    assert kept >= set(acknowledged)
    assert store.graph.counts([ada])[ada].followers == len(kept)
    dispatched = set()
    while claims := store.outbox.claim(now=NOW, lease_until=NOW, limit=999):
        dispatched |= {one.event.id for one in claims if one.event.aggregate == str(ada)}
        store.outbox.acknowledge(claims)
    assert dispatched == kept


def test_a_bulk_load_into_a_frozen_server_ends_in_time(store: RelationalStore, server: Server) -> None:
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


def test_a_changed_column_type_causes_no_error(store: RelationalStore, server: Server, url: str) -> None:
    """Statements prepared before the change fail on their connection, so these are closed and the call is retried."""
    [ada] = register(store)

    def all_connections(number: int) -> None:
        with ThreadPoolExecutor(POOL) as pool:
            for bio in pool.map(lambda _: store.accounts.get([ada])[ada].bio, range(number)):
                assert bio == ""

    all_connections(8 * POOL)
    for width in (5000, 5001):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE accounts ALTER COLUMN bio TYPE varchar({width})")
        all_connections(8 * POOL)
