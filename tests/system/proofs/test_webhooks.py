"""Receivers of webhooks as queues (total-queue): every event arrives, in order, while relays are killed, both at a
receiver with malformed answers and at a correct one.
"""

import logging
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.apps import ROLES, embedded, running
from tests.engines.kernel import wait_until
from tests.receiver import ENDLESS, MALFORMED, Receiver, receiving
from tests.system.live import Live
from tests.system.proofs.test_sinks import SETTLED, is_sent, positions, written
from tests.system.relay.operator import TOKEN, Operator

pytestmark = pytest.mark.proof
log = logging.getLogger(__name__)
DEATHS = 6
SETTINGS: dict[str, Any] = {
    "webhooks_token": TOKEN,
    "webhooks_networks": "127.0.0.0/8",
    "webhooks_timeout": 0.5,
    "webhooks_wait_seconds": 0.1,
    "sinks_lease_seconds": 2.0,
}


def test_every_event_arrives_in_order_despite_killed_relays_and_lying_receivers(tmp_path: Path) -> None:
    urls: dict[str, Any] = embedded(tmp_path)
    variables = {f"{role}_URL".upper(): str(urls[f"{role}_url"]) for role in ROLES}
    variables |= {name.upper(): str(value) for name, value in SETTINGS.items()}
    chance = random.Random(7)  # noqa: S311  moments of death, and lies
    with receiving() as honest, receiving() as liar, running(Settings(**urls, **SETTINGS)) as system:
        operator = Operator(system, None)
        secrets = [operator.add(one)["secret"] for one in (honest, liar)]
        liar.answers.extend(chance.choice(["200", "500", *MALFORMED, *ENDLESS]) for _ in range(120))
        posts = 0
        for _ in range(DEATHS):
            relay = Live(tmp_path, "relay", **variables)
            before = positions(system)
            posts += written(system.person())
            # Kill it in the middle of its work: some events of this round are sent, others are not.
            assert wait_until(lambda: positions(system) != before, SETTLED), relay.output  # noqa: B023
            threading.Event().wait(chance.uniform(0, 0.3))
            os.kill(relay.pid, signal.SIGKILL)
            relay.ended(10)
        last = Live(tmp_path, "relay", **variables)
        assert wait_until(lambda: is_sent(system), SETTLED), last.output
        last.terminate()
        assert last.ended(30) == 0
        logged = [one.event for one in system.container.stores.relational.event_log.after(0, limit=10_000)]
        assert all(state.dead_lettered == 0 for state in system.container.stores.relational.event_log.states())
    assert sum(event.type == "PostPublished" for event in logged) == posts
    wanted = [(str(event.id), event.aggregate) for event in logged]
    for receiver, secret in zip((honest, liar), secrets, strict=True):
        log.info("%d events, %d came again", len(wanted), len(receiver.posted) - len(wanted))
        assert_arrived(receiver, secret, wanted)


def assert_arrived(receiver: Receiver, secret: str, wanted: list[tuple[str, str]]) -> None:
    """Check that exactly these ids arrived, first in the order of each aggregate, and with the same bytes each time."""
    bodies = {one.id: one.body for one in receiver.posted}
    assert all(one.body == bodies[one.id] and one.signed_with(secret) for one in receiver.posted)
    firsts = list(dict.fromkeys(one.id for one in receiver.posted))
    assert set(firsts) == {id_ for id_, _ in wanted}
    place = {id_: number for number, id_ in enumerate(firsts)}
    for aggregate in {aggregate for _, aggregate in wanted}:
        own = [place[id_] for id_, its in wanted if its == aggregate]
        assert own == sorted(own)
