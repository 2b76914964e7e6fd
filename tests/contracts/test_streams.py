"""The contract of `Streams`, for every adapter."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct
from redis import Redis, RedisCluster

from repositories.errors import Invalid
from repositories.hot import LiveEvent, Streams, open_streams
from repositories.hot.embedded.streams import EmbeddedStreams
from repositories.hot.redis.cluster import TAGS
from repositories.hot.redis.streams import RedisStreams
from repositories.hot.streams_port import KEPT, LISTENING, Delta, Position
from tests.contracts.relational_store import new_database

ALL = 10_000


class Clock:
    """A clock in seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Setting(Struct, frozen=True):
    """The streams under test. After `leave`, these accounts are no longer listeners."""

    streams: Streams
    leave: Callable[[list[UUID]], object]


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "cluster", "postgres"))],
)
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    clock = Clock()
    if request.param == "redis":
        url = request.getfixturevalue("engines").cache().url
        streams: Streams = RedisStreams(url, timeout=timedelta(seconds=5), pool=8)
        with Redis.from_url(url) as redis:
            yield Setting(streams, lambda ids: [redis.pexpire(f"quartet:1:live:{{{i.hex}}}:head", 0) for i in ids])
    elif request.param == "cluster":
        url = request.getfixturevalue("redis_cluster")
        streams = RedisStreams(url, timeout=timedelta(seconds=5), pool=8)
        with RedisCluster.from_url(url.replace("redis+cluster:", "redis:")) as cluster:
            yield Setting(
                streams, lambda ids: [cluster.pexpire(f"quartet:1:live:{_tag(i)}:{i.hex}:head", 0) for i in ids]
            )
    elif request.param == "postgres":
        url = new_database(request.getfixturevalue("engines").postgres())
        streams = open_streams(url, timeout=timedelta(seconds=5), pool=8)
        streams.migrate()
        with psycopg.connect(url, autocommit=True) as own:
            over = "UPDATE hot_streams SET expires_at = 0 WHERE account_id = ANY (%s)"
            yield Setting(streams, lambda ids: own.execute(over, [[i.bytes for i in ids]]))
    else:
        streams = EmbeddedStreams(f"sqlite:///{tmp_path_factory.mktemp('streams') / 'hot.db'}", clock=clock)

        def leave(_: list[UUID]) -> None:
            clock.now += LISTENING.total_seconds()

        streams.migrate()
        yield Setting(streams, leave)
    streams.close()


def _tag(account_id: UUID) -> str:
    return TAGS[account_id.int % len(TAGS)]


@pytest.fixture
def streams(setting: Setting) -> Streams:
    return setting.streams


def event(text: object = "x") -> LiveEvent:
    return LiveEvent(f"{text}", "post", f'{{"n":"{text}"}}'.encode())


def events(count: int) -> list[LiveEvent]:
    return [event(number) for number in range(count)]


def read(streams: Streams, account_id: UUID, at: Position, limit: int = ALL) -> Delta:
    [delta] = streams.since([(account_id, at)], limit=limit)
    return delta


def test_a_listener_gets_every_event_once_in_order(streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    for one in events(7):
        streams.append([ada], one)
    delta = read(streams, ada, start)
    assert (delta.events, delta.lost) == (tuple(events(7)), False)
    assert delta.position == Position(start.epoch, start.number + 7)
    assert read(streams, ada, delta.position) == Delta(delta.position, (), lost=False)
    for skipped in range(8):
        at = Position(start.epoch, start.number + skipped)
        assert read(streams, ada, at) == Delta(delta.position, tuple(events(7)[skipped:]), lost=False)


def test_at_most_limit_events_and_the_next_position(streams: Streams) -> None:
    ada = uuid4()
    at = streams.listen(ada)
    for one in events(7):
        streams.append([ada], one)
    got: list[LiveEvent] = []
    for size in (3, 3, 1, 0):
        delta = read(streams, ada, at, limit=3)
        assert len(delta.events) == size
        at, got = delta.position, got + list(delta.events)
    assert got == events(7)


def test_an_account_that_does_not_listen_has_no_stream(streams: Streams) -> None:
    ada = uuid4()
    streams.append([ada], event())
    assert read(streams, ada, Position("", 0)) == Delta(Position("", 0), (), lost=True)
    start = streams.listen(ada)
    assert read(streams, ada, start) == Delta(start, (), lost=False)


def test_listening_again_continues_the_same_stream(streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    streams.append([ada], event())
    again = streams.listen(ada)
    assert again == Position(start.epoch, start.number + 1)
    assert read(streams, ada, start) == Delta(again, (event(),), lost=False)


def test_a_stream_ends_with_its_listener_and_the_next_is_new(setting: Setting) -> None:
    ada = uuid4()
    start = setting.streams.listen(ada)
    setting.streams.append([ada], event("old"))
    setting.leave([ada])
    assert read(setting.streams, ada, start) == Delta(Position("", 0), (), lost=True)
    assert ada not in setting.streams.listeners(after=None, limit=ALL)
    setting.streams.append([ada], event("unheard"))
    fresh = setting.streams.listen(ada)
    assert fresh.epoch not in {"", start.epoch}
    assert read(setting.streams, ada, fresh) == Delta(fresh, (), lost=False)
    setting.streams.append([ada], event("old"))
    assert read(setting.streams, ada, fresh).events == (event("old"),)
    assert read(setting.streams, ada, start).lost


@pytest.mark.parametrize("known", [0, 1, KEPT])
def test_only_the_newest_are_kept_and_a_reader_further_behind_gets_a_resync(streams: Streams, known: int) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    told = events(KEPT + 3)
    for one in told:
        streams.append([ada], one)
    end = Position(start.epoch, start.number + KEPT + 3)
    behind = Position(start.epoch, start.number + known)
    expected = Delta(end, (), lost=True) if known < 3 else Delta(end, tuple(told[known:]), lost=False)
    assert read(streams, ada, behind) == expected
    assert read(streams, ada, Position(start.epoch, start.number + 3)).events == tuple(told[3:])


@pytest.mark.parametrize("epoch", ["", "0" * 16, "\u00e9\x00{}"])
def test_a_position_of_an_unknown_epoch_is_lost(streams: Streams, epoch: str) -> None:
    ada, bob = uuid4(), uuid4()
    end, foreign = streams.listen(ada), streams.listen(bob)
    for at in (Position(epoch, 0), Position(end.epoch, end.number + 1), foreign):
        assert read(streams, ada, at) == Delta(end, (), lost=True)


def test_an_event_that_is_appended_twice_is_kept_once(streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    for one in [*events(KEPT), *events(KEPT)]:
        streams.append([ada], one)
    assert read(streams, ada, start).events == tuple(events(KEPT))
    streams.append([ada], event(KEPT))
    streams.append([ada], event(0))
    delta = read(streams, ada, Position(start.epoch, start.number + KEPT))
    assert delta.events == (event(KEPT), event(0))


def test_only_the_listeners_among_many_get_an_event(streams: Streams) -> None:
    everybody = [uuid4() for _ in range(2_300)]
    some = everybody[::7]
    starts = [(one, streams.listen(one)) for one in some]
    streams.append([*everybody, *some], event())
    deltas = streams.since(starts, limit=ALL)
    assert [delta.events for delta in deltas] == [(event(),)] * len(some)
    assert all(read(streams, one, Position("", 0)).position.epoch == "" for one in everybody[1:7])


def test_positions_are_answered_in_their_order_also_of_one_account(streams: Streams) -> None:
    ada, bob, nobody = uuid4(), uuid4(), uuid4()
    at, other = streams.listen(ada), streams.listen(bob)
    streams.append([ada], event(1))
    streams.append([ada, bob], event(2))
    middle = Position(at.epoch, at.number + 1)
    deltas = streams.since([(ada, middle), (nobody, at), (bob, other), (ada, at), (ada, other)], limit=ALL)
    assert [d.events for d in deltas] == [(event(2),), (), (event(2),), (event(1), event(2)), ()]
    assert [d.lost for d in deltas] == [False, True, False, False, True]
    assert streams.since([], limit=ALL) == []


def test_any_bytes_and_any_text(streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    odd = [
        LiveEvent("", "", b""),
        LiveEvent("a\x00b", "\u00e9", bytes(range(256))),
        LiveEvent("\U0001f600", "*", b"x" * 20_000),
    ]
    for one in odd:
        streams.append([ada], one)
    assert read(streams, ada, start).events == tuple(odd)
    with pytest.raises(Invalid):
        streams.append([ada], LiveEvent("\ud800", "post", b""))
    with pytest.raises(Invalid):
        streams.append([ada], LiveEvent("x", "\ud800", b""))
    streams.append([], event())


def test_listeners_are_listed_in_order_page_by_page(streams: Streams) -> None:
    mine = sorted(uuid4() for _ in range(9))
    for one in reversed(mine):
        streams.listen(one)
    found: list[UUID] = []
    after = None
    while page := streams.listeners(after=after, limit=4):
        assert len(page) <= 4
        found, after = found + page, page[-1]
    assert found == sorted(set(found))
    assert [one for one in found if one in mine] == mine
    assert streams.listeners(after=mine[0], limit=ALL)[0] > mine[0]


def test_a_listener_that_left_makes_no_gap_in_a_page(setting: Setting) -> None:
    setting.leave(setting.streams.listeners(after=None, limit=ALL))
    first, second, third = sorted(uuid4() for _ in range(3))
    setting.streams.listen(first)
    setting.streams.listen(second)
    setting.leave([first, second])
    setting.streams.listen(second)
    setting.streams.listen(third)
    assert setting.streams.listeners(after=None, limit=1) == [second]
    assert setting.streams.listeners(after=None, limit=2) == [second, third]


def test_concurrent_writers_and_a_reader_miss_nothing(streams: Streams) -> None:
    ada = uuid4()
    at = streams.listen(ada)
    start = threading.Barrier(5)

    def write(writer: int) -> None:
        start.wait()
        for number in range(50):
            streams.append([ada], event(f"{writer}.{number}"))

    got: list[LiveEvent] = []
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(write, writer) for writer in range(4)]
        start.wait()
        while len(got) < 200:
            finished = all(job.done() for job in jobs)
            delta = read(streams, ada, at, limit=7)
            assert not delta.lost
            at, got = delta.position, got + list(delta.events)
            assert delta.events or not finished, "an event is missing"
        for job in jobs:
            job.result()
    assert len({one.key for one in got}) == 200
    for writer in range(4):
        own = [int(one.key.split(".")[1]) for one in got if one.key.startswith(f"{writer}.")]
        assert all(a < b for a, b in pairwise(own))


def test_migrating_again_changes_nothing_and_it_answers(streams: Streams) -> None:
    assert streams.migrate() == []
    assert streams.migrate(dry_run=True) == []
    streams.ping()


def test_concurrent_calls_of_listen_share_one_stream(streams: Streams) -> None:
    """If each began its own, a later one would end the stream of an earlier one."""
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            ada, together = uuid4(), threading.Barrier(8)

            def begin(ada: UUID = ada, together: threading.Barrier = together) -> Position:
                together.wait(10)
                return streams.listen(ada)

            begun = [job.result() for job in [pool.submit(begin) for _ in range(8)]]
            assert len(set(begun)) == 1
            assert not read(streams, ada, begun[0]).lost
