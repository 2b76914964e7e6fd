"""Both brokers as queues (total-queue): every event arrives, in order, while relay and brokers are killed."""

import logging
import os
import random
import signal
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from config import Settings
from tests.apps import ROLES, Person, System, embedded, running
from tests.engines.brokers import Broker
from tests.engines.kernel import wait_until
from tests.system.live import Live

pytestmark = pytest.mark.proof
log = logging.getLogger(__name__)
DEATHS, POSTS = 6, 25
SETTLED = 180


def test_every_event_arrives_in_order_despite_killed_relay_and_brokers(
    brokers: dict[str, Broker], tmp_path: Path
) -> None:
    places = {name: broker.place() for name, broker in brokers.items()}
    for name, broker in brokers.items():
        broker.prepared(places[name]).close()
    sinks = ",".join(broker.url(places[name]) for name, broker in brokers.items())
    chance = random.Random(7)  # noqa: S311  moments of death
    urls = embedded(tmp_path) | {"sinks": sinks}
    variables = {f"{role}_URL".upper(): str(urls[f"{role}_url"]) for role in ROLES} | {
        "SINKS": sinks,
        "SINKS_LEASE_SECONDS": "2",
    }
    with running(Settings(**urls)) as system:
        posts = 0
        for death in range(DEATHS):
            relay = Live(tmp_path, "relay", **variables)
            before = positions(system)
            posts += written(system.person())
            # Kill it in the middle of its work: some events of this round are sent, others are not.
            assert wait_until(lambda: positions(system) != before, SETTLED), relay.output  # noqa: B023
            threading.Event().wait(chance.uniform(0, 0.3))
            os.kill(relay.pid, signal.SIGKILL)
            relay.ended(10)
            broker = list(brokers.values())[death % 2]
            broker.server.kill()
            broker.server.restart()
        last = Live(tmp_path, "relay", **variables)
        assert wait_until(lambda: is_sent(system), SETTLED), last.output
        last.terminate()
        assert last.ended(30) == 0
        logged = [one.event for one in system.container.stores.relational.event_log.after(0, limit=10_000)]
    assert sum(event.type == "PostPublished" for event in logged) == posts
    for name, broker in brokers.items():
        received = broker.received(places[name], len(logged))
        bodies, order = defaultdict(set), defaultdict[str, dict[str, None]](dict)
        for one in received:
            bodies[one.id].add(one.body)
            order[one.key].setdefault(one.id)
        log.info("%s: %d events, %d came again", name, len(logged), len(received) - len(logged))
        assert set(bodies) == {str(event.id) for event in logged}
        assert all(len(same) == 1 for same in bodies.values())
        for ids in order.values():
            assert list(ids) == [str(event.id) for event in logged if str(event.id) in ids]


def written(author: Person) -> int:
    """Publish posts; edit each twice, and like it. Returns the number of posts."""
    for number in range(POSTS):
        post = author.publish(f"{number}")
        for title in ("once", "twice"):
            author.patch(f"/posts/{post}", {"title": title}, etag="*")
        author.put(f"/posts/{post}/like")
    return POSTS


def positions(system: System) -> dict[str, int]:
    return {state.sink: state.position for state in system.container.stores.relational.event_log.states()}


def is_sent(system: System) -> bool:
    stores = system.container.stores
    unsent = stores.relational.outbox.backlog().unsent + stores.documents.outbox.backlog().unsent
    return not unsent and all(not state.waiting for state in stores.relational.event_log.states())
