"""The contract of `Streams`: events and positions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest

from repositories.errors import Invalid
from repositories.hot import LiveEvent, Streams
from repositories.hot.streams_port import KEPT, Delta, Position
from tests.contracts.hot.live_events import ALL, event, events, read


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
