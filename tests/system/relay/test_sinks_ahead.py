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
from tests.system.relay.shelves import LEASE, Shelf, ids, log, rewind, serve, worker

BATCH, EVER = 20, datetime(2000, 1, 1, tzinfo=UTC)


class Ahead(Shelf):
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
    wrote, shelf = log(container, 2 * BATCH + 3), Ahead()
    one = worker(container, shelf)
    assert serve(one) == len(wrote)
    assert shelf.sizes == [BATCH, BATCH, 3]
    wrote += log(container, 2)
    assert serve(one) == 2
    assert ids(shelf) == wrote


def test_several_batches_are_in_flight_at_once(container: Container) -> None:
    wrote, shelf = log(container, 7 * BATCH + 3), Ahead(3)
    assert serve(worker(container, shelf)) == len(wrote)
    assert (shelf.sizes, shelf.waits) == ([BATCH] * 7 + [3], 3)
    assert ids(shelf) == wrote


def test_a_slow_sink_gets_smaller_batches(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LONG", -1.0)
    monkeypatch.setattr(sending, "FEW", 4)
    wrote, shelf = log(container, 60), Ahead(3)
    assert serve(worker(container, shelf)) == len(wrote)
    assert shelf.sizes == [BATCH, BATCH, 10, 5, 4, 1]
    assert ids(shelf) == wrote


def test_a_slow_sink_gets_more_than_one_event_after_a_failure(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LONG", -1.0)
    monkeypatch.setattr(sending, "FEW", 4)
    wrote, shelf, event_log = log(container, 16), Ahead(), container.stores.relational.event_log
    event_log.register("kafka")
    cursor = event_log.claim("kafka", lease=LEASE)
    assert cursor
    event_log.release(cursor, wait=timedelta(0), attempts=1, reason="slow")
    assert serve(worker(container, shelf)) == len(wrote)
    assert shelf.sizes == [1, 2, 4, 4, 4, 1]
    assert ids(shelf) == wrote


@pytest.mark.parametrize("room", [3, BATCH + 3, 2 * BATCH])
@pytest.mark.parametrize("refused", [True, False])
def test_events_read_ahead_of_a_failure_are_read_again(container: Container, *, refused: bool, room: int) -> None:
    wrote, shelf = log(container, 4 * BATCH), Ahead(3)
    shelf.refused, shelf.room = ({wrote[room]}, None) if refused else (set(), room)
    one = worker(container, shelf)
    one.step()
    assert ids(shelf) == wrote[:room]
    shelf.room = None
    if not refused:
        rewind(container, container.stores.relational.now() + LEASE)
    serve(one)
    assert ids(shelf) == [one for one in wrote if one not in shelf.refused]


def test_events_read_ahead_are_discarded_after_a_rewind(container: Container) -> None:
    wrote, shelf = log(container, 2 * BATCH), Ahead()
    one = worker(container, shelf)
    one.step()
    rewind(container, EVER)
    one.step()
    shelf.kept.clear()
    assert serve(one) == 2 * BATCH
    assert ids(shelf) == wrote


def test_batches_start_small_after_a_failure_and_grow(container: Container) -> None:
    wrote, shelf, event_log = log(container, 40), Ahead(), container.stores.relational.event_log
    shelf.room = 0
    one = worker(container, shelf)
    serve(one)
    shelf.room = None
    rewind(container, EVER.replace(year=9000))
    cursor = event_log.claim("kafka", lease=LEASE)
    assert cursor
    event_log.release(cursor, wait=timedelta(0), attempts=1, reason="away")
    assert serve(one) == 40
    assert shelf.sizes == [BATCH, 1, 2, 4, 8, 16, 9]
    assert ids(shelf) == wrote


def test_events_logged_without_an_envelope_are_sent_in_order(container: Container) -> None:
    """They were logged by a version without envelopes, by one with other envelopes, or for another source."""
    wrote = log(container, 2) + log(container, 2, made=False) + log(container, 2, source="/former") + log(container, 1)
    shelf = Shelf()
    assert serve(worker(container, shelf)) == 7
    assert ids(shelf) == wrote
    bodies = [json.loads(message.body) for message in shelf.kept]
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
