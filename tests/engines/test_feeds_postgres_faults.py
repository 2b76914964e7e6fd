"""Feeds on a PostgreSQL that refuses, is silent, frozen, killed, read-only or locked by another session."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from repositories.errors import ReadOnly, Unavailable
from repositories.feeds.postgres.store import PostgresFeeds
from tests.contracts.relational_store import new_database
from tests.engines import Engines, Server
from tests.engines.answering import works
from tests.engines.feeds_calls import AT, TIMEOUT, answers, assert_ends, calls, post
from tests.engines.kernel import free_port, wait_until


@pytest.fixture
def server(own_engines: Engines) -> Iterator[Server]:
    yield own_engines.postgres()
    own_engines.heal()


@pytest.fixture(scope="module")
def url(own_engines: Engines) -> str:
    url = new_database(own_engines.postgres())
    feeds = opened(url, timeout=timedelta(seconds=20))
    feeds.migrate()
    feeds.close()
    return url


@pytest.fixture
def feeds(server: Server, url: str) -> Iterator[PostgresFeeds]:
    assert server.running
    feeds = opened(url)
    assert wait_until(lambda: answers(feeds), 10)
    yield feeds
    feeds.close()


def opened(url: str, *, timeout: timedelta = TIMEOUT) -> PostgresFeeds:
    return PostgresFeeds(url, timeout=timeout, pool=4, retention=timedelta(days=90))


def test_calls_to_a_refusing_server_end_in_time() -> None:
    feeds = opened(f"postgresql://quartet@127.0.0.1:{free_port()}/x")
    for call in [*calls(feeds), feeds.sweep, feeds.migrate]:
        assert_ends(call)
    feeds.close()


def test_calls_to_a_frozen_server_end_and_work_after_it_resumes(server: Server, feeds: PostgresFeeds) -> None:
    server.pause()
    with ThreadPoolExecutor(12) as pool:
        for ended in [pool.submit(assert_ends, call) for call in calls(feeds)]:
            ended.result()
    server.resume()
    for call in calls(feeds):
        assert wait_until(lambda: works(call), 20)  # noqa: B023 - called in its iteration


def test_a_push_that_is_killed_half_way_may_be_repeated(server: Server, feeds: PostgresFeeds) -> None:
    owners, new = [uuid4() for _ in range(20_000)], post()
    threading.Timer(0.05, server.kill).start()

    def push_on() -> None:
        while True:
            feeds.push(new, owners, AT)

    with pytest.raises(Unavailable):
        push_on()
    assert wait_until(lambda: not server.running, 10)
    assert not works(lambda: feeds.home_page(owners[0], limit=9))
    server.restart()
    assert wait_until(lambda: works(lambda: feeds.push(new, owners[:3000], AT)), 20)
    assert all(feeds.home_page(owner, limit=9) == [new] for owner in owners[:3000:500])


def test_a_read_only_server_refuses_and_is_used_again(server: Server, feeds: PostgresFeeds) -> None:
    owner, new = uuid4(), post()
    with psycopg.connect(server.url, autocommit=True) as own:
        own.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        own.execute("SELECT pg_reload_conf()")
    try:
        assert wait_until(lambda: not works(lambda: feeds.push(post(), [owner], AT)), 10)
        with pytest.raises(ReadOnly):
            feeds.push(new, [owner], AT)
        with pytest.raises(ReadOnly):
            feeds.add_to_author(new, AT)
        with pytest.raises(ReadOnly):
            feeds.ping()
    finally:
        with psycopg.connect(server.url, autocommit=True) as own:
            own.execute("SET default_transaction_read_only = off")
            own.execute("ALTER SYSTEM RESET default_transaction_read_only")
            own.execute("SELECT pg_reload_conf()")
    assert wait_until(lambda: works(lambda: feeds.push(new, [owner], AT)), 10)
    assert new in feeds.home_page(owner, limit=9)


def test_a_push_to_a_locked_row_ends_in_time(url: str, feeds: PostgresFeeds) -> None:
    owner, new = uuid4(), post()
    feeds.push(new, [owner], AT)
    with psycopg.connect(url) as other:
        other.execute("UPDATE feeds_home SET written = written WHERE owner = %s", [owner])
        assert_ends(lambda: feeds.push(new, [owner, uuid4()], AT))
        assert feeds.home_page(owner, limit=9) == [new]
    feeds.push(new, [owner], AT)


def test_a_connection_that_the_server_has_ended_is_not_used_again(url: str, feeds: PostgresFeeds) -> None:
    owner, new = uuid4(), post()
    feeds.push(new, [owner], AT)
    with psycopg.connect(url, autocommit=True) as own:
        own.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert feeds.home_page(owner, limit=9) == [new]
