"""The relay's work for sinks: logging events, and serving sinks that are slow, unavailable, full or refuse messages."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.container import Container
from app.envelopes import PREFIX
from app.worker.relay import Relay, RelayLimits
from app.worker.running import relay_of, sweeper_of
from app.worker.sinks.commands import sinks
from config import Settings
from repositories.errors import Unavailable
from repositories.records.events import Event
from repositories.sinks import Message, Sent
from tests.apps import embedded, running
from tests.contracts.document_store import an_event
from tests.system.crowd import SteppedClock, outboxes, people, publish, watched, with_stores
from tests.system.relay.memory_sink import LEASE, POLL, MemorySink, ids, log, rewind, serve, worker
from tests.system.relay.runs import Crash, a_history

NOBODY = "kafka://127.0.0.1:1/events"
LIMITS = RelayLimits(POLL, LEASE, attempts=3)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def container(clock: SteppedClock, tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), sinks=NOBODY), clock) as system:
        yield system.container


def test_events_are_sent_in_order_and_once(container: Container, sink: MemorySink) -> None:
    a_history(container)
    relay_of(container).drain()
    assert serve(worker(container, sink)) == len(sink.kept)
    bodies = [json.loads(message.body) for message in sink.kept]
    assert [one["sequence"] for one in bodies] == sorted({one["sequence"] for one in bodies})
    assert len({one["id"] for one in bodies}) == len(bodies)
    assert {"post.published.v1", "post.edited.v1", "post.deleted.v1", "account.followed.v1"} < set(sink.types())
    assert not any("block" in one for one in sink.types())
    for post in {message.key for message in sink.kept if message.type == PREFIX + "post.deleted.v1"}:
        own = [message.type.split(".")[2] for message in sink.kept if message.key == post]
        assert [one for one in own if one != "liked"] == ["published", "edited", "deleted"]
    assert serve(worker(container, sink)) == 0


def test_an_event_is_sent_though_a_handler_fails(container: Container, sink: MemorySink) -> None:
    ada, *_ = people(container, 2)
    publish(container, ada)
    feeds = watched(container.stores.feeds, away)
    relay_of(with_stores(container, feeds=feeds)).drain()
    serve(worker(container, sink))
    assert "post.published.v1" in sink.types()
    relay_of(container).drain()
    assert serve(worker(container, sink)) == 0


def away(_call: str) -> None:
    raise Unavailable("feeds")


def test_without_sinks_nothing_is_logged(clock: SteppedClock, tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path)), clock) as system:
        publish(system.container, people(system.container, 1)[0])
        relay_of(system.container).drain()
        assert system.container.stores.relational.event_log.after(0, limit=9) == []


def test_events_that_cannot_be_logged_wait(container: Container, sink: MemorySink) -> None:
    publish(container, people(container, 1)[0])
    failing = Relay(
        outboxes(container), lambda _event: None, container.kit.clock, LIMITS, log_events=lambda _events: away("append")
    )
    assert failing.drain() == 0
    assert relay_of(container).drain() > 0
    serve(worker(container, sink))
    assert sink.types().count("post.published.v1") == 1


def test_a_full_sink_continues_where_it_stopped(container: Container, sink: MemorySink) -> None:
    wrote = log(container, 9)
    sink.room = 4
    one = worker(container, sink)
    assert one.step() == 0
    (state,) = container.stores.relational.event_log.states()
    assert (state.waiting, state.reason) == (5, "sinks is unavailable: full")
    assert one.step() == 0
    assert ids(sink) == wrote[:4]
    sink.room = None
    rewind(container, container.stores.relational.now() + LEASE)
    assert serve(one) == 5
    assert ids(sink) == wrote


def test_refused_events_are_dead_lettered_and_the_next_ones_sent(container: Container, sink: MemorySink) -> None:
    wrote = log(container, 6)
    sink.refused = {wrote[0], wrote[3]}
    assert serve(worker(container, sink)) == 6
    assert ids(sink) == [wrote[1], wrote[2], wrote[4], wrote[5]]
    dead = container.stores.relational.event_log.dead_letters("kafka", after=0, limit=9)
    assert [str(one.logged.event.id) for one in dead] == [wrote[0], wrote[3]]
    assert {one.reason for one in dead} == {"too large"}


@pytest.mark.parametrize("kind", ["PostLiked", "OfALaterVersion"])
def test_unreadable_events_are_dead_lettered(container: Container, sink: MemorySink, kind: str) -> None:
    first = log(container, 1)
    with container.stores.relational.transaction() as tx:
        tx.event_log.append([Event(an_event("x").id, kind, "a", container.kit.clock(), b"{}")])
    last = log(container, 1)
    assert serve(worker(container, sink)) == 3
    assert ids(sink) == first + last
    (dead,) = container.stores.relational.event_log.dead_letters("kafka", after=0, limit=9)
    assert "cannot be read" in dead.reason


def test_one_sink_does_not_wait_for_another(container: Container) -> None:
    wrote = log(container, 3)
    slow, quick = MemorySink("slow"), MemorySink("quick")
    slow.room = 0
    assert serve(worker(container, slow)) == 0
    assert serve(worker(container, quick)) == 3
    assert (ids(slow), ids(quick)) == ([], wrote)


def test_two_processes_do_not_serve_one_sink_at_once(container: Container) -> None:
    wrote = log(container, MemorySink.batch + 3)
    first, second = MemorySink(), MemorySink()
    one, other = worker(container, first), worker(container, second)
    assert one.step() == MemorySink.batch
    assert other.step() == 0
    one.close()
    assert serve(other) == 3
    assert ids(first) + ids(second) == wrote


def test_a_worker_whose_lease_has_expired_stops(container: Container) -> None:
    wrote = log(container, 4)
    first, second = MemorySink(), MemorySink()
    first.room = 2
    one, other = worker(container, first, timedelta(0)), worker(container, second)

    class Asleep(MemorySink):
        def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
            assert serve(other) == 4
            return super().send(messages)

    one._sink = asleep = Asleep()
    assert one.step() == 4
    assert serve(one) == 0
    assert ids(second) == ids(asleep) == wrote


def test_a_crash_before_recording_a_send_repeats_it_with_the_same_ids(container: Container) -> None:
    wrote = log(container, 3)
    sink = MemorySink()
    one = worker(container, sink, timedelta(0))

    class Dying(MemorySink):
        def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
            sink.send(messages)
            raise Crash

    one._sink = Dying()
    with pytest.raises(Crash):
        one.step()
    assert serve(worker(container, sink)) == 3
    assert ids(sink) == wrote + wrote
    assert len({message.body for message in sink.kept}) == 3


def test_old_events_that_every_sink_has_sent_are_swept(container: Container, sink: MemorySink) -> None:
    log(container, 3)
    serve(worker(container, sink))
    sweeper_of(container).sweep()
    assert len(container.stores.relational.event_log.after(0, limit=9)) == 3
    kept = Settings(**{**container.settings.__dict__, "sinks_kept_days": 0.0})
    with running(kept, container.kit.clock) as system:
        sweeper_of(system.container).sweep()
        assert system.container.stores.relational.event_log.after(0, limit=9) == []


def test_operators_see_sinks_and_send_again(container: Container, sink: MemorySink) -> None:
    wrote = log(container, 3)
    sink.refused = {wrote[1]}
    serve(worker(container, sink))

    def run(*words: str) -> str:
        return CliRunner().invoke(sinks, words, obj=lambda: nullcontext(container)).output

    assert "kafka: 0 waiting, oldest -, 1 dead-lettered" in run("list")
    assert f"{wrote[1]} PostLiked: too large" in run("list")
    assert "3 events will be sent" in run("replay", "kafka", "--since", "2020-01-01")
    assert "there is no sink 'other'" in run("replay", "other", "--since", "2020-01-01")
    assert "kafka is among QUARTET_SINKS" in run("forget", "kafka")
    sink.refused = set()
    assert serve(worker(container, sink)) == 3
    assert ids(sink) == [wrote[0], wrote[2], *wrote]
    worker(container, MemorySink("former")).step()
    assert "former is forgotten" in run("forget", "former")
    assert "there is no sink 'former'" in run("forget", "former")
