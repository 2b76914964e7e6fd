"""Sinks during whose waits the next batch is read, and how envelopes are prepared for that."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.container import Container
from app.envelopes import maker
from app.worker.running import relay_of
from app.worker.sinks import sending
from config import Settings
from repositories.sinks import Message, Sent
from tests.apps import embedded, running
from tests.system.crowd import SteppedClock, people, publish
from tests.system.relay.memory_sink import LEASE, MemorySink, ids, log, rewind, serve, worker

BATCH, EVER = 20, datetime(2000, 1, 1, tzinfo=UTC)


class BatchingSink(MemorySink):
    """Calls `more` while batches are unacknowledged, of which there may be `batches` at once."""

    batch = BATCH

    def __init__(self, batches: int = 1) -> None:
        super().__init__()
        self.window = batches * BATCH
        self.sizes: list[int] = []
        self.waits = 0

    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
        given, count = messages, 0
        while given:
            self.sizes.append(len(given))
            sent = super().send(given)
            count += sent.count
            # Like a sink whose answers come late.
            following = more()
            if sent.failure:
                return Sent(count, sent.failure)
            given = following
        self.waits += 1
        return Sent(count)


@pytest.fixture
def container(clock: SteppedClock, tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), sinks="kafka://127.0.0.1:1/events"), clock) as system:
        yield system.container


def test_a_batch_read_ahead_is_sent_next(container: Container) -> None:
    wrote, sink = log(container, 2 * BATCH + 3), BatchingSink()
    one = worker(container, sink)
    assert serve(one) == len(wrote)
    assert sink.sizes == [BATCH, BATCH, 3]
    wrote += log(container, 2)
    assert serve(one) == 2
    assert ids(sink) == wrote


def test_several_batches_are_in_flight_at_once(container: Container) -> None:
    wrote, sink = log(container, 7 * BATCH + 3), BatchingSink(3)
    assert serve(worker(container, sink)) == len(wrote)
    assert (sink.sizes, sink.waits) == ([BATCH] * 7 + [3], 3)
    assert ids(sink) == wrote


def test_a_slow_sink_gets_smaller_batches(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LONG", -1.0)
    monkeypatch.setattr(sending, "FEW", 4)
    wrote, sink = log(container, 60), BatchingSink(3)
    assert serve(worker(container, sink)) == len(wrote)
    assert sink.sizes == [BATCH, BATCH, 10, 5, 4, 1]
    assert ids(sink) == wrote


def test_a_slow_sink_gets_more_than_one_event_after_a_failure(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LONG", -1.0)
    monkeypatch.setattr(sending, "FEW", 4)
    wrote, sink, event_log = log(container, 16), BatchingSink(), container.stores.relational.event_log
    event_log.register("kafka")
    cursor = event_log.claim("kafka", lease=LEASE)
    assert cursor
    event_log.release(cursor, wait=timedelta(0), attempts=1, reason="slow")
    assert serve(worker(container, sink)) == len(wrote)
    assert sink.sizes == [1, 2, 4, 4, 4, 1]
    assert ids(sink) == wrote


@pytest.mark.parametrize("room", [3, BATCH + 3, 2 * BATCH])
@pytest.mark.parametrize("refused", [True, False])
def test_events_read_ahead_of_a_failure_are_read_again(container: Container, *, refused: bool, room: int) -> None:
    wrote, sink = log(container, 4 * BATCH), BatchingSink(3)
    sink.refused, sink.room = ({wrote[room]}, None) if refused else (set(), room)
    one = worker(container, sink)
    one.step()
    assert ids(sink) == wrote[:room]
    sink.room = None
    if not refused:
        rewind(container, container.stores.relational.now() + LEASE)
    serve(one)
    assert ids(sink) == [one for one in wrote if one not in sink.refused]


def test_events_read_ahead_are_discarded_after_a_rewind(container: Container) -> None:
    wrote, sink = log(container, 2 * BATCH), BatchingSink()
    one = worker(container, sink)
    one.step()
    rewind(container, EVER)
    one.step()
    sink.kept.clear()
    assert serve(one) == 2 * BATCH
    assert ids(sink) == wrote


def test_batches_start_small_after_a_failure_and_grow(container: Container) -> None:
    wrote, sink, event_log = log(container, 40), BatchingSink(), container.stores.relational.event_log
    sink.room = 0
    one = worker(container, sink)
    serve(one)
    sink.room = None
    rewind(container, EVER.replace(year=9000))
    cursor = event_log.claim("kafka", lease=LEASE)
    assert cursor
    event_log.release(cursor, wait=timedelta(0), attempts=1, reason="away")
    assert serve(one) == 40
    assert sink.sizes == [BATCH, 1, 2, 4, 8, 16, 9]
    assert ids(sink) == wrote


def test_events_logged_without_an_envelope_are_sent_in_order(container: Container) -> None:
    """They were logged by a version without envelopes, by one with other envelopes, or for another source."""
    wrote = log(container, 2) + log(container, 2, made=False) + log(container, 2, source="/former") + log(container, 1)
    sink = MemorySink()
    assert serve(worker(container, sink)) == 7
    assert ids(sink) == wrote
    bodies = [json.loads(message.body) for message in sink.kept]
    assert {one["source"] for one in bodies} == {"/quartet"}
    assert [one["sequence"] for one in bodies] == sorted({one["sequence"] for one in bodies})
    assert len({tuple(one) for one in bodies}) == 1


def test_events_logged_by_the_relay_have_envelopes(container: Container) -> None:
    publish(container, people(container, 1)[0])
    relay_of(container).drain()
    event_log = container.stores.relational.event_log
    ready = event_log.ready(0, limit=99, made_by=maker(container.settings.sinks_source))
    assert [one[0] for one in ready] == [one.position for one in event_log.after(0, limit=99)] != []
    assert all(one[2] for one in ready)
