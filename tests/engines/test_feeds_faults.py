"""Cassandra refused, silent, frozen, killed and restarted; expiry and markers, which only this adapter has."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import Unavailable
from repositories.feeds.cassandra.link import CONCURRENCY, Call, Row
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.id_time import millis
from repositories.feeds.layout import Layout
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.engines import Engines, Server
from tests.engines.answering import works
from tests.engines.feeds_calls import AT, TIMEOUT, answers, assert_ends, calls, post
from tests.engines.kernel import free_port, wait_until

RETENTION = timedelta(days=400)
DAY = timedelta(days=1)
HOME = Layout().home
KEYSPACE = f"faults_{uuid4().hex[:8]}"


@pytest.fixture
def server(own_engines: Engines) -> Iterator[Server]:
    server = own_engines.cassandra()
    with_time = open_feeds(server.url, timeout=timedelta(seconds=20))
    with_time.migrate()
    with_time.close()
    yield server
    own_engines.heal()


@pytest.fixture
def feeds(server: Server) -> Iterator[CassandraFeeds]:
    feeds = open_feeds(server.url)
    assert wait_until(lambda: answers(feeds), 10)
    yield feeds
    feeds.close()


def open_feeds(url: str, *, timeout: timedelta = TIMEOUT, retention: timedelta = RETENTION) -> CassandraFeeds:
    return CassandraFeeds(f"{url.rpartition('/')[0]}/{KEYSPACE}", timeout=timeout, retention=retention)


def test_an_error_of_the_row_iterator_is_raised(feeds: CassandraFeeds) -> None:
    class BrokenOff(Exception): ...

    def rows() -> Iterator[tuple[UUID, int, int]]:
        yield from ((uuid4(), 1, 1) for _ in range(2 * CONCURRENCY))
        raise BrokenOff

    with pytest.raises(BrokenOff):
        feeds._link.write("author_mark", rows())
    with pytest.raises(BrokenOff):
        feeds._link.write_together("author_mark", rows(), key=1)


def test_calls_to_a_refusing_server_end_in_time(server: Server) -> None:
    feeds = open_feeds(f"cassandra://127.0.0.1:{free_port()}/x")
    for call in calls(feeds):
        assert_ends(call)
    feeds.close()


def test_a_call_to_a_name_that_does_not_resolve_ends_in_time() -> None:
    feeds = open_feeds("cassandra://nowhere.invalid/x")
    assert_ends(feeds.ping)
    feeds.close()


def test_calls_to_a_silent_server_end_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        feeds = open_feeds(f"cassandra://127.0.0.1:{silent.getsockname()[1]}/x")
        with ThreadPoolExecutor(12) as pool:
            for ended in [pool.submit(assert_ends, call) for call in calls(feeds)]:
                ended.result()
        assert_ends(feeds.ping)
        feeds.close()


def test_calls_to_a_frozen_server_end_and_work_after_it_resumes(server: Server, feeds: CassandraFeeds) -> None:
    server.pause()
    for call in calls(feeds):
        assert_ends(call)
    server.resume()
    for call in calls(feeds):
        assert wait_until(lambda: works(call), 60)  # noqa: B023 - called in its iteration


def test_a_server_frozen_at_the_first_call_is_used_after_it_resumes(server: Server) -> None:
    feeds = open_feeds(server.url)
    server.pause()
    assert_ends(feeds.ping)
    assert_ends(lambda: feeds.home_page(uuid4(), limit=1))
    server.resume()
    assert wait_until(lambda: answers(feeds), 10)
    feeds.close()


@pytest.mark.proof
def test_a_push_that_is_frozen_half_way_may_be_repeated(server: Server, feeds: CassandraFeeds) -> None:
    owners, new = [uuid4() for _ in range(20_000)], post()
    threading.Timer(0.2, server.pause).start()
    with pytest.raises(Unavailable):
        feeds.push(new, owners, AT)
    server.resume()
    assert wait_until(lambda: answers(feeds), 30)
    patient = open_feeds(server.url, timeout=timedelta(seconds=20))
    patient.push(new, owners[:3000], AT)
    assert all(patient.home_page(owner, limit=9) == [new] for owner in owners[:3000:50])
    patient.close()


@pytest.mark.proof
def test_a_server_started_after_the_first_call_is_used(server: Server) -> None:
    server.kill()
    feeds = open_feeds(server.url)
    assert_ends(feeds.ping)
    server.start()
    assert wait_until(lambda: answers(feeds), 10)
    feeds.close()


@pytest.mark.proof
def test_acknowledged_writes_survive_a_crash(server: Server, feeds: CassandraFeeds) -> None:
    owner, stop = uuid4(), threading.Event()
    acknowledged: list[PostRef] = []
    refused = 0

    def write() -> None:
        nonlocal refused
        while not stop.is_set():
            new = post()
            try:
                feeds.push(new, [owner, uuid4()], AT)
                feeds.add_to_author(new, AT)
            except Unavailable:
                refused += 1
                stop.wait(0.01)
            else:
                acknowledged.append(new)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write), pool.submit(write)]
        try:
            for _ in range(2):
                before = len(acknowledged)
                assert wait_until(lambda: len(acknowledged) > before + 100, 20)  # noqa: B023 - called in its iteration
                server.kill()
                server.start()
                before = len(acknowledged)
                assert wait_until(lambda: len(acknowledged) > before, 20)  # noqa: B023
        finally:
            stop.set()
        for writer in writers:
            writer.result()
    assert refused
    there = set(feeds.home_page(owner, limit=100_000))
    assert there >= set(acknowledged)
    for kept in acknowledged[::20]:
        assert feeds.author_page(kept.author_id, limit=1) == [kept]


@pytest.mark.parametrize("connected", [False, True])
def test_after_close_every_call_ends(server: Server, *, connected: bool) -> None:
    feeds = open_feeds(server.url)
    assert not connected or wait_until(lambda: answers(feeds), 10)
    feeds.close()
    feeds.close()
    for call in calls(feeds):
        assert_ends(call)


def ask(feeds: CassandraFeeds, query: str, *values: object) -> list[Row]:
    return feeds._link.schema(query.replace("FROM ", f"FROM {KEYSPACE}."), values)


def test_the_ttl_of_an_entry_is_the_rest_of_its_retention(feeds: CassandraFeeds) -> None:
    owner, old = uuid4(), post(300 * DAY)
    for at in (AT, AT + DAY):
        feeds.push(old, [owner], at)
        ((left,),) = ask(
            feeds,
            "SELECT TTL(author_id) FROM home_timeline WHERE owner_id = %s AND bucket = %s",
            owner,
            HOME.bucket(old.post_id),
        )
        expected = (timedelta(milliseconds=millis(old.post_id)) + RETENTION).total_seconds() - now().timestamp()
        assert abs(left - expected) < 10


def test_a_marker_outlives_its_bucket(server: Server, feeds: CassandraFeeds) -> None:
    """Entries without a marker are not found. TTL() cannot read a marker's expiry, so the entries expire here."""
    short = open_feeds(server.url, retention=timedelta(seconds=1))
    assert wait_until(lambda: answers(short), 10)
    owner = uuid4()
    new = post()
    short.push(new, [owner], AT)
    assert wait_until(lambda: not feeds.home_page(owner, limit=1), 10)
    assert ask(feeds, "SELECT bucket FROM home_buckets WHERE owner_id = %s", owner) == [(HOME.bucket(new.post_id),)]
    short.close()


def test_a_sparse_timeline_takes_few_round_trips(feeds: CassandraFeeds, monkeypatch: pytest.MonkeyPatch) -> None:
    author = uuid4()
    posts = [PostRef(post(DAY * age).post_id, author) for age in range(0, 9000, 300)]
    feeds.load(posts, [])
    dense, trips = uuid4(), []
    feeds.fill(dense, [post() for _ in range(50)], AT)
    read = feeds._link.read

    def counted(asked: list[Call], deadline: float) -> list[list[Row]]:
        trips.append(len(asked))
        return read(asked, deadline)

    monkeypatch.setattr(feeds._link, "read", counted)
    assert feeds.author_page(author, limit=20) == posts[:20]
    assert trips == [2, 2, 4, 8, 15]
    trips.clear()
    assert len(feeds.home_page(dense, limit=20)) == 20
    assert trips == [1, 1]


def test_markers_are_written_once(feeds: CassandraFeeds, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(feeds._link, "write", lambda name, _rows: written.append(name))
    owners = [uuid4(), uuid4()]
    for _ in range(2):
        feeds.push(post(), owners, AT)
    feeds.push(post(), [*owners, uuid4()], AT)
    feeds.push(post(30 * DAY), owners, AT)
    assert written == ["home_mark", "home_add", "home_add", *["home_mark", "home_add"] * 2]


def test_a_failed_removal_uses_no_tombstone_budget(server: Server, feeds: CassandraFeeds) -> None:
    owner, (doomed, other) = uuid4(), (post(), post())
    for one in (doomed, other):
        feeds.push(one, [owner], AT)
    server.pause()
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            for ended in [pool.submit(assert_ends, lambda: feeds.retract(doomed, [owner] * 100, AT)) for _ in range(4)]:
                ended.result()
    server.resume()
    assert wait_until(lambda: answers(feeds), 30)
    feeds.retract(other, [owner], AT)
    assert other not in feeds.home_page(owner, limit=9)
