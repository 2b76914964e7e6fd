"""Alerts of a real Prometheus beside a system on the real engines: each fault of docs/outages.md, and healthy traffic.

Prometheus has no clock but the machine's, so all lengths of time in the rules are shortened, and scrapes are close.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import NamedTuple

import pytest

from app.telemetry import background
from tests.apps import ROLES
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.recorded import Recorded
from tests.system.alerts import prometheus
from tests.system.alerts.prometheus import Prometheus
from tests.system.alerts.scraping import Scraping
from tests.system.outages.matrix import TROUBLES, Town, Trouble, town
from tests.system.proofs.relays import threads
from tests.system.real import KEYSPACE, real_urls

pytestmark = pytest.mark.engines
PROOFS = "QUARTET_PROOFS" in os.environ
TIMES, HEALTHY_SCRAPES = 100, 72 if PROOFS else 12
PATIENCE = 120.0
READS = ("/feed", "/wallet", "/notifications", "/posts")
SCRAPES = 'count_over_time(up{job="quartet"}[1h])'
EVER = 'count_over_time(ALERTS{alertstate="firing"}[1h])'
OF_SPEED = {"QuartetSlow", "QuartetStoreSlow", "QuartetPoolExhausted", "QuartetDown"}
OF_STATES = {"QuartetStoreDown", "QuartetStoreReadOnly"}
EXPECTED: dict[Trouble, set[str]] = {
    "refused": {"QuartetStoreDown"},
    "frozen": {"QuartetStoreDown"},
    "slow": {"QuartetStoreSlow", "QuartetStoreDown"},
    "reset": {"QuartetStoreDown"},
    "read-only": {"QuartetStoreReadOnly"},
}
FOLLOWING = {
    "relational": {
        ("QuartetErrors", ""),
        ("QuartetStoreFailing", "relational"),
        ("QuartetOutboxUnreadable", "relational"),
    },
    "cache": {("QuartetCacheDeferred", "")},
}
FEW: list[tuple[str, Trouble]] = [("relational", "read-only"), ("cache", "refused")]
ALL = [(role, trouble) for role in ROLES for trouble in TROUBLES if (role, trouble) != ("feeds", "read-only")]


class Watched(NamedTuple):
    town: Town
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(engines: Shared) -> Iterator[Watched]:
    patch = pytest.MonkeyPatch()
    patch.setattr(background, "FRESH_SECONDS", background.FRESH_SECONDS / TIMES)
    # Less than a scrape may take here, also for two questions.
    patch.setattr(background, "PATIENCE_SECONDS", 0.05)
    # So patient that a busy machine is no outage.
    patient = {f"{role}_timeout": 10.0 for role in ROLES} | {"request_timeout": 10.0}
    urls = real_urls(engines, "alerts", keyspace=KEYSPACE)
    with (
        town(urls, own=False, **patient) as made,
        closing(Scraping(made.world.system.container)) as scraping,
        prometheus.running(scraping.port, TIMES) as found,
    ):
        yield Watched(made, found)
    patch.undo()


@contextmanager
def traffic(watched: Watched) -> Iterator[None]:
    """Of one reader, who writes now and then, until the end of the block."""
    system, over = watched.town.world.system, threading.Event()
    person = system.person()

    def go() -> None:
        while not over.is_set():
            person.send("POST", "/posts", json={"title": "A post", "body": "Some words."})
            system.relay.drain()
            for path in READS * 5:
                person.send("GET", path)
                over.wait(0.01)

    with threads([go], over):
        yield


def test_no_alert_fires_in_healthy_traffic(watched: Watched) -> None:
    """In the short form it is ten minutes of the rules' time, and what measures speed may fire on a busy machine."""
    found = watched.prometheus
    with traffic(watched):
        begun = found.value(SCRAPES)
        assert wait_until(lambda: found.value(SCRAPES) >= begun + HEALTHY_SCRAPES, PATIENCE)
    fired = {one["metric"]["alertname"] for one in found.asked("query", query=EVER)["result"]}
    assert fired - (set() if PROOFS else OF_SPEED) == set()
    assert found.value("sum(rate(quartet_http_requests_total[1m]))") > 0


def test_a_histogram_leads_to_traces(watched: Watched) -> None:
    found, recorded = watched.prometheus, Recorded()
    person = watched.town.world.system.person()

    def leads(name: str) -> bool:
        """Each look is at one more request: a scrape may have been late for those before."""
        with recorded.recording():
            person.get("/feed")
        series = found.asked("query_exemplars", query=f"{name}_bucket", start="0", end="9999999999")
        kept = {one["labels"]["trace_id"] for of in series for one in of["exemplars"]}
        return bool(kept & {span.trace for span in recorded.story})

    for name in ("quartet_http_request_seconds", "quartet_store_call_seconds"):
        assert wait_until(partial(leads, name), PATIENCE), name


def faults(cells: list[tuple[str, Trouble]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("role", "trouble"), cells, ids=["-".join(cell) for cell in cells])


@faults(FEW)
def test_a_fault_fires_the_alert_of_its_store(watched: Watched, role: str, trouble: Trouble) -> None:
    fires(watched, role, trouble)


@pytest.mark.proof
@faults([cell for cell in ALL if cell not in FEW])
def test_so_does_every_other_fault(watched: Watched, role: str, trouble: Trouble) -> None:
    fires(watched, role, trouble)


@pytest.mark.proof
@pytest.mark.parametrize("role", FOLLOWING)
def test_what_follows_from_it_fires_too(watched: Watched, role: str) -> None:
    wanted, fired = FOLLOWING[role], set[tuple[str, str]]()

    def all_have() -> bool:
        fired.update(watched.prometheus.firing())
        return fired >= wanted

    with traffic(watched), watched.town.struck(role, "refused"):
        assert wait_until(all_have, PATIENCE), fired


def fires(watched: Watched, role: str, trouble: Trouble) -> None:
    found = watched.prometheus

    def about(alerts: set[str]) -> set[tuple[str, str]]:
        return {one for one in found.firing() if one[0] in alerts}

    with traffic(watched), watched.town.struck(role, trouble):
        assert wait_until(lambda: role in {store for _, store in about(EXPECTED[trouble])}, PATIENCE), found.firing()
        assert {store for _, store in about(OF_STATES)} <= {role}
    assert wait_until(lambda: not about(OF_STATES), PATIENCE), found.firing()
