"""PostgreSQL with a standby that takes over, and writes that wait for a primary that does not answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from repositories.errors import ReadOnly, Unavailable
from repositories.relational import RelationalStore
from tests.contracts.relational_store import opened
from tests.engines import Engines, Server, postgres
from tests.engines.kernel import wait_until
from tests.engines.relational.calls import ACTIVITY, POOL, TIMEOUT, read, write

PATIENCE = 20.0
FAR = timedelta(minutes=10)
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Pair(NamedTuple):
    """A primary and its standby. `url` names both hosts, the primary first; `standby_url` only the standby."""

    primary: Server
    standby: Server
    url: str
    standby_url: str


@pytest.fixture
def pair(own_engines: Engines, server: Server, url: str) -> Iterator[Pair]:
    standby = postgres.launch_standby(own_engines.home, server)
    first, second = urlsplit(url), urlsplit(standby.url)
    both = first._replace(netloc=f"{first.netloc},127.0.0.1:{second.port}")
    yield Pair(server, standby, both.geturl(), first._replace(netloc=second.netloc).geturl())
    standby.discard()


def put(store: RelationalStore) -> UUID:
    """Write a product's stock. Returns the product once the write is acknowledged."""
    product = uuid4()
    with store.transaction() as unit:
        unit.stock.put(product, 1)
    return product


def works(store: RelationalStore) -> bool:
    try:
        put(store)
        read(store)
    except Unavailable:
        return False
    return True


def has(store: RelationalStore, product: UUID) -> bool:
    return store.stock.available([product]) == {product: 1}


def test_clients_switch_from_a_frozen_primary_to_the_promoted_standby_for_good(pair: Pair) -> None:
    with opened(pair.url, timeout=TIMEOUT, pool=POOL) as store, opened(pair.url, timeout=TIMEOUT, pool=POOL) as idle:
        # On a busy machine opening the first connection may take the whole timeout of half a second.
        for each in (store, idle):
            assert wait_until(lambda each=each: works(each), 20)  # type: ignore[misc]
        assert store.notes() == []
        pair.primary.pause()
        postgres.promote(pair.standby)
        assert wait_until(lambda: works(store), 20)
        with opened(pair.url, timeout=TIMEOUT, pool=POOL) as fresh:
            assert wait_until(lambda: works(fresh), 20)
        pair.primary.resume()
        # The idle store has not noticed the failover, and has open connections to the old primary.
        assert wait_until(lambda: "second primary" in "".join(idle.notes()), 20)
        with opened(pair.standby_url) as promoted:
            for each in (store, idle):
                assert has(promoted, put(each))
        # A process that starts now connects to the old primary first.
        with opened(pair.url) as fresh, opened(pair.standby_url) as promoted:
            assert has(promoted, put(fresh))
            assert "timeline 1 where 2 has been seen" in "".join(fresh.notes())


def test_a_write_to_a_frozen_primary_ends_when_the_standby_is_promoted(pair: Pair) -> None:
    """The timeout is so long that only the failover ends the wait. Whether the write was committed is unknown."""
    with opened(pair.url, timeout=FAR, pool=POOL) as store, ThreadPoolExecutor(1) as thread:
        put(store)
        with closing(psycopg.connect(f"{pair.url}?target_session_attrs=read-write")) as holder:
            holder.execute("LOCK TABLE stock")
            waiting = thread.submit(put, store)
            assert wait_until(lambda: bool(holder.execute(WAITING).fetchall()), PATIENCE)
            pair.primary.pause()
        try:
            postgres.promote(pair.standby)
            assert isinstance(waiting.exception(PATIENCE), Unavailable)
            assert has(store, put(store))
        finally:
            pair.primary.resume()


def test_a_standby_answers_and_is_not_the_writer(pair: Pair) -> None:
    with opened(pair.standby_url) as store:
        for call in (store.ping, lambda: put(store), lambda: read(store)):
            with pytest.raises(ReadOnly):
                call()
        postgres.promote(pair.standby)
        store.ping()
        assert has(store, put(store))
    # The order of the hosts in the URL does not matter.
    pair.primary.kill()
    with opened(pair.url) as store:
        assert works(store)
        assert store.notes() == ["1 of 2 hosts do not answer"]


def test_a_server_that_becomes_read_only_is_used_again_when_writable(store: RelationalStore, url: str) -> None:
    database = urlsplit(url).path.lstrip("/")
    put(store)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
        # Terminate the open connections, as a pooler does, or a server that is demoted in place.
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quartet'"
            " AND datname = current_database()"
        )
        # Wait, since a backend that was told to terminate may still answer the next statement with that error.
        gone = "SELECT FROM pg_stat_activity WHERE application_name = 'quartet' AND datname = current_database()"
        assert wait_until(lambda: not server.execute(gone).fetchall(), 20)
        try:
            for call in (store.ping, lambda: put(store)):
                with pytest.raises(ReadOnly):
                    call()
        finally:
            server.execute("SET default_transaction_read_only = off")
            server.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
    put(store)


def test_commits_that_wait_for_a_standby_do_not_fill_the_server(
    store: RelationalStore, server: Server, url: str
) -> None:
    put(store)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            assert wait_until(lambda: not works(store), 20)
            for _ in range(3 * POOL):
                with pytest.raises(Unavailable):
                    write(store)
            assert (admin.execute(ACTIVITY).fetchone() or (0,))[0] <= 2 * POOL
            read(store)
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
    put(store)
