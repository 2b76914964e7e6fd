"""The meter: what is counted, for which request, and what counting costs."""

import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from repositories import meter
from repositories.errors import Conflict, Contention, Unavailable
from repositories.meter import asked, called, tally
from repositories.translation import Outdated, Undone
from tests.notes import RecordingObserver, noting

CALLS = 8


@pytest.fixture
def notes() -> Iterator[RecordingObserver]:
    with noting() as made:
        yield made


def test_a_tally_adds_up_by_store() -> None:
    with tally() as mine:
        called("cache", "MGET", 0.25)
        called("cache", "MGET", 0.5, trips=2)
        called("feeds", "home_add", 1.0, trips=100)
    called("cache", "MGET", 1.0)
    assert mine.stores == {"cache": [3, 0.75], "feeds": [100, 1.0]}
    assert mine.trips() == {"cache": 3, "feeds": 100}


def test_an_inner_tally_counts_apart_and_restores_the_outer_one() -> None:
    with tally() as outer:
        with tally() as inner:
            called("cache", "GET", 0)
        called("sessions", "GET", 0)
    assert (inner.trips(), outer.trips()) == ({"cache": 1}, {"sessions": 1})


def test_each_thread_counts_for_itself() -> None:
    with tally() as mine:
        other = threading.Thread(target=called, args=("cache", "GET", 0.0))
        other.start()
        other.join()
    assert mine.trips() == {}


def test_a_new_request_of_a_thread_starts_from_nothing() -> None:
    first = meter.begin()
    called("cache", "GET", 0)
    second = meter.begin()
    called("cache", "GET", 0)
    assert first.trips() == second.trips() == {"cache": 1}


def test_the_observer_gets_every_call_and_whether_it_was_answered(notes: RecordingObserver) -> None:
    with asked("relational", "select posts"):
        pass
    for error in (Conflict("handle"), Unavailable("relational"), OSError()):
        with pytest.raises(type(error)), asked("relational", "insert posts", trips=2):
            raise error
    answered = [("relational", "select posts", 1, True), ("relational", "insert posts", 2, True)]
    assert notes.kept == [*answered, *[("relational", "insert posts", 2, False)] * 2]


def test_a_lost_contention_is_answered_and_counted_apart(notes: RecordingObserver) -> None:
    for error in (Contention(), Undone(), Outdated()):
        with pytest.raises(type(error)), asked("relational", "insert posts"):
            raise error
    call, lost = ("relational", "insert posts", 1, True), ("contended", 1, "relational", "insert posts")
    assert notes.kept == [call, lost, call, lost, call]


def test_round_trips_sent_one_by_one_are_counted_up_to_the_failure(notes: RecordingObserver) -> None:
    def send(rows: Iterator[int]) -> None:
        for row in rows:
            if row == 2:
                raise Unavailable("feeds")

    with pytest.raises(Unavailable), asked("feeds", "home_add") as call:
        send(call.each([1, 2, 3]))
    assert notes.kept == [("feeds", "home_add", 2, False)]


def test_the_observer_gets_waits_cache_events_and_gauges(notes: RecordingObserver) -> None:
    meter.waited("relational", 0.1)
    meter.cache_event("hit", 20)
    meter.observed("fanout_lag", 0.5, 1000)
    meter.counted("events", 1, "PostPublished", "dispatched")
    with pytest.raises(KeyError), meter.running("streams"):
        raise KeyError
    expected = [
        ("relational", 0.1),
        ("hit", 20),
        ("fanout_lag", 0.5, 1000),
        ("events", 1, "PostPublished", "dispatched"),
    ]
    assert notes.kept == [*expected, ("streams", 1), ("streams", -1)]


def test_without_an_observer_nothing_is_needed() -> None:
    before = meter._observer
    meter.watch(None)
    try:
        meter.waited("relational", 0.1)
        meter.cache_event("hit")
        meter.observed("fanout_lag", 0.5)
        meter.counted("deliveries", 3)
        with meter.running("streams"), asked("cache", "GET"):
            pass
    finally:
        meter.watch(before)


def test_counting_costs_a_few_function_calls() -> None:
    """That is far less than any store call costs. Calls of the observer are not included."""
    made: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == meter.__file__:
            made.append(frame.f_code.co_name)

    with tally():
        sys.setprofile(note)
        try:
            with asked("cache", "MGET"):
                pass
        finally:
            sys.setprofile(None)
    assert 0 < len(made) <= CALLS, made
