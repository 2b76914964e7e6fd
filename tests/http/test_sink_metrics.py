"""The lag of sinks in `/metrics`."""

from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.relational.event_log_port import EventLog
from repositories.relational.webhooks_port import sink_of
from tests.apps import System
from tests.contracts.document_store import an_event
from tests.http.test_metrics import scrape

LEASE = timedelta(seconds=30)


def shown(system: System) -> dict[tuple[str, str], float]:
    """The gauges, by name and sink. Counters are left out, since they include other tests of this process."""
    found = {(name, dict(labels).get("sink", "")): number for (name, labels), number in scrape(system).items()}
    return {
        (name.removeprefix("quartet_sink_"), sink): number
        for (name, sink), number in found.items()
        if sink and "events" not in name
    }


def test_the_lag_of_each_sink_is_a_gauge(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    log = system.container.stores.relational.event_log
    hooks = [sink_of(uuid4()) for _ in range(3)]
    for name in ("kafka", *hooks):
        log.register(name)
    with system.container.stores.relational.transaction() as tx:
        tx.event_log.append([an_event("a"), an_event("b")])
    last = log.after(0, limit=2)[1].position
    cursor = log.claim(hooks[0], lease=LEASE)
    assert cursor
    log.advance(cursor, last, lease=LEASE)
    kafka = log.claim("kafka", lease=LEASE)
    assert kafka
    with system.container.stores.relational.transaction() as tx:
        tx.event_log.switch(hooks[1], on=False)
        tx.event_log.dead_letter(kafka, last, "too large")
    found = shown(system)
    assert found["waiting", "kafka"] == 2
    assert found["dead_lettered", "kafka"] == 1
    assert found["oldest_seconds", "kafka"] >= 0
    assert found["waiting", "webhooks"] == 2, "one is done, one is disabled"
    assert {sink for _, sink in found} <= {"kafka", "webhooks"}
    monkeypatch.setattr("app.telemetry.background.FRESH_SECONDS", -1.0)
    monkeypatch.setattr(type(log), "states", away)
    scrape(system)
    assert shown(system) == {}


def away(_log: EventLog) -> None:
    raise Unavailable("relational")
