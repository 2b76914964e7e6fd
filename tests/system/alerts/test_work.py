"""Alerts about sinks, the relay and money in a real Prometheus, each caused by a real fault.

For rules about an age the system's clock is advanced, so that tests need not wait. All other durations in the rules are
shortened, as in `test_faults`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import delete

from app.telemetry import background
from repositories.records.events import Event
from repositories.relational.schema.money_tables import ledger_accounts
from repositories.relational.schema.tables import outbox
from tests.contracts.transactions import engine_of
from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.engines.rabbitmq import RabbitServer
from tests.receiver import receiving
from tests.system.alerts.works import PATIENCE, TIMES, Works
from tests.system.money.test_alterations import altering
from tests.system.proofs.relays import threads

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
HEALTHY_SCRAPES = 120
SCRAPES = 'count_over_time(up{job="quartet"}[1h])'
EVER = 'count_over_time(ALERTS{alertstate="firing"}[1h])'
OF_SPEED = {"QuartetSlow", "QuartetStoreSlow", "QuartetPoolExhausted"}


@pytest.fixture(scope="module")
def works(own_engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    patch = pytest.MonkeyPatch()
    patch.setattr(background, "FRESH_SECONDS", background.FRESH_SECONDS / TIMES)
    patch.setattr(background, "PATIENCE_SECONDS", 0.1)
    with ExitStack() as stack:
        stack.callback(patch.undo)
        receiver = stack.enter_context(receiving())
        yield Works(tmp_path_factory.mktemp("works"), own_engines, receiver, stack)


def test_no_alert_fires_in_healthy_traffic(works: Works) -> None:
    """For an hour of the rules' time, with three working sinks."""
    found = works.prometheus
    with works.traffic():
        begun = found.value(SCRAPES)
        assert wait_until(lambda: found.value(SCRAPES) >= begun + HEALTHY_SCRAPES, PATIENCE)
    fired = {one["metric"]["alertname"] for one in found.asked("query", query=EVER)["result"]}
    assert fired - OF_SPEED == set()
    assert found.value("sum(rate(quartet_sink_events_total[1m]))") > 0


@contextmanager
def sink_away(works: Works, sink: str, inject: Callable[[], object], mend: Callable[[], object]) -> Iterator[None]:
    inject()
    try:
        assert wait_until(lambda: works.waits_for(sink), PATIENCE)
        works.later(minutes=2)
        yield
    finally:
        mend()
        # The next try is due by the system's clock.
        works.later(minutes=1)


def kafka_frozen(works: Works) -> AbstractContextManager[None]:
    return sink_away(works, "kafka", works.kafka.server.pause, works.kafka.server.resume)


def kafka_killed(works: Works) -> AbstractContextManager[None]:
    return sink_away(works, "kafka", works.kafka.server.kill, works.kafka.server.start)


def rabbit_frozen(works: Works) -> AbstractContextManager[None]:
    return sink_away(works, "rabbitmq", works.rabbit.server.pause, works.rabbit.server.resume)


def rabbit_killed(works: Works) -> AbstractContextManager[None]:
    return sink_away(works, "rabbitmq", works.rabbit.server.kill, works.rabbit.server.start)


def rabbit_full(works: Works) -> AbstractContextManager[None]:
    """Another queue of the exchange accepts one message, and then rejects further ones."""
    rabbit, place = works.rabbit, works.places[works.rabbit]
    full = f"{place}.full"
    most = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}

    def inject() -> None:
        rabbit.change(lambda channel: channel.queue_declare(full, durable=True, arguments=most))
        rabbit.change(lambda channel: channel.queue_bind(full, place, "#"))

    return sink_away(works, "rabbitmq", inject, lambda: rabbit.change(lambda channel: channel.queue_delete(full)))


def rabbit_without_memory(works: Works) -> AbstractContextManager[None]:
    """The server's memory limit is 0, so it blocks all publishers."""
    server = works.rabbit.server
    assert isinstance(server, RabbitServer)

    def most(share: str) -> Callable[[], None]:
        return lambda: server.control("set_vm_memory_high_watermark", share)

    return sink_away(works, "rabbitmq", most("0"), most("0.4"))


def rabbit_without_queue(works: Works) -> AbstractContextManager[None]:
    rabbit, place = works.rabbit, works.places[works.rabbit]

    def make() -> None:
        kind = {"x-queue-type": "quorum"}
        rabbit.change(lambda channel: channel.queue_declare(place, durable=True, arguments=kind))
        rabbit.change(lambda channel: channel.queue_bind(place, place, "#"))

    return sink_away(works, "rabbitmq", lambda: rabbit.change(lambda channel: channel.queue_delete(place)), make)


def kafka_without_topic(works: Works) -> AbstractContextManager[None]:
    return sink_away(works, "kafka", lambda: works.kafka.remove(works.places[works.kafka]), works.make_topic)


def receiver_away(works: Works, answer: str) -> AbstractContextManager[None]:
    def usual(answer: str) -> Callable[[], None]:
        return lambda: setattr(works.receiver, "usual", answer)

    return sink_away(works, "webhook-", usual(answer), usual("204"))


def receiver_stalls(works: Works) -> AbstractContextManager[None]:
    return receiver_away(works, "stall")


def receiver_fails(works: Works) -> AbstractContextManager[None]:
    return receiver_away(works, "500")


@contextmanager
def too_large(works: Works) -> Iterator[None]:
    """An event that is too large for the topic."""
    relational = works.system.container.stores.relational
    payload = b'{"type": "PostLiked", "post_id": "%s", "account_id": "%s"}' % ((str(uuid4()).encode(),) * 2)
    with relational.transaction() as tx:
        tx.event_log.append([Event(uuid4(), "PostLiked", "a" * 30_000, works.clock(), payload)])
    yield
    dead = relational.event_log.dead_letters("kafka", after=0, limit=9)
    with relational.transaction() as tx:
        tx.event_log.settle("kafka", [one.logged.position for one in dead])


@contextmanager
def relay_gone(works: Works) -> Iterator[None]:
    works.relay.end()
    assert wait_until(works.waits, PATIENCE)
    works.later(minutes=2)
    yield
    works.relay.start()


@contextmanager
def relay_frozen(works: Works) -> Iterator[None]:
    """The only relay, a separate process, is frozen between two of its writes."""
    works.relay.end()
    with works.live_relay() as relay:
        works.freeze(relay)
        assert wait_until(works.waits, PATIENCE)
        works.later(minutes=2)
        yield
    works.relay.start()


@contextmanager
def late_deliveries(works: Works) -> Iterator[None]:
    """Repeatedly, a relay starts and finds a post from ten minutes ago, which has a follower."""
    over = threading.Event()
    author, follower = works.system.person(), works.system.person()
    follower.put(f"/accounts/{author.handle}/follow")

    def again() -> None:
        while not over.is_set():
            works.relay.end()
            author.publish()
            works.later(minutes=10)
            works.relay.start()
            assert wait_until(lambda: not works.waits() or over.is_set(), PATIENCE)

    with threads([again], over):
        yield


@contextmanager
def no_anchors(works: Works) -> Iterator[None]:
    works.relay.end()
    works.later(hours=4)
    yield
    works.relay.start()


@contextmanager
def unreadable_event(works: Works) -> Iterator[None]:
    """An event that no handler can decode, of a type that is not sent to sinks."""
    relational = works.system.container.stores.relational
    with relational.transaction() as tx:
        tx.emit(Event(uuid4(), "Blocked", str(uuid4()), works.clock(), b"{}"))
    yield
    with engine_of(relational).begin() as connection:
        connection.execute(delete(outbox).where(outbox.c.payload == b"{}"))


@contextmanager
def not_scraped(works: Works) -> Iterator[None]:
    works.scraping.close()
    yield
    works.scraping.start()


@contextmanager
def books_altered(works: Works) -> Iterator[None]:
    """A person's ledger accounts are deleted, which the next deposit notices."""
    victim = works.system.person().rich(5)
    with altering(works.system.container.stores.relational) as connection, connection.begin():
        connection.execute(delete(ledger_accounts).where(~ledger_accounts.c.may_overdraw))
    with pytest.raises(AssertionError, match="books_inconsistent"):
        victim.rich(1)
    yield


Fault = Callable[[Works], AbstractContextManager[None]]
FAULTS: list[tuple[Fault, tuple[str, str]]] = [
    # First, while the clock is right: for another process, events from the future would not be due.
    (relay_frozen, ("QuartetRelayBehind", "documents")),
    (kafka_frozen, ("QuartetSinkBehind", "kafka")),
    (kafka_killed, ("QuartetSinkBehind", "kafka")),
    (rabbit_frozen, ("QuartetSinkBehind", "rabbitmq")),
    (rabbit_killed, ("QuartetSinkBehind", "rabbitmq")),
    (rabbit_full, ("QuartetSinkBehind", "rabbitmq")),
    (rabbit_without_memory, ("QuartetSinkBehind", "rabbitmq")),
    (rabbit_without_queue, ("QuartetSinkBehind", "rabbitmq")),
    (kafka_without_topic, ("QuartetSinkBehind", "kafka")),
    (receiver_stalls, ("QuartetSinkBehind", "webhooks")),
    (receiver_fails, ("QuartetSinkBehind", "webhooks")),
    (too_large, ("QuartetSinkRefuses", "kafka")),
    (relay_gone, ("QuartetRelayBehind", "documents")),
    (late_deliveries, ("QuartetFanoutLag", "")),
    (no_anchors, ("QuartetAnchorOld", "")),
    (unreadable_event, ("QuartetEventsDeadLettered", "relational")),
    (not_scraped, ("QuartetDown", "")),
    # Last, since the ledger stays damaged.
    (books_altered, ("QuartetLedgerAltered", "")),
]
# Further alerts of a fault: work that is not done without a relay, and an event that the damaged ledger refuses.
WITHOUT_RELAY = {"QuartetRelayBehind", "QuartetAnchorOld", "QuartetSinkBehind", "QuartetFanoutLag"}
ALONG: dict[Fault, set[str]] = {
    relay_gone: WITHOUT_RELAY,
    relay_frozen: WITHOUT_RELAY,
    late_deliveries: WITHOUT_RELAY,
    no_anchors: WITHOUT_RELAY,
    books_altered: {"QuartetEventsDeadLettered"},
}


@pytest.mark.parametrize(("fault", "alert"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_fires_its_alert(works: Works, fault: Fault, alert: tuple[str, str]) -> None:
    found = works.prometheus
    with works.traffic() as statuses, fault(works):
        assert wait_until(lambda: alert in found.firing(), PATIENCE), found.firing()
        assert statuses == {200, 201}, "no client notices"
        others = {name for name, _ in found.firing()} - OF_SPEED - {alert[0]}
        assert others <= ALONG.get(fault, set())
    if fault is not books_altered:
        assert wait_until(lambda: alert not in found.firing(), PATIENCE), found.firing()
