"""Alerts for a system on the real engines: for each fault in docs/outages.md, and none under healthy traffic."""

import os
from collections.abc import Iterator
from functools import partial

import pytest

from tests.apps import ROLES
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.recorded import SpanRecorder
from tests.system.alerts.watched import OF_STATES, PATIENCE, Watched, watching
from tests.system.outages.matrix import TROUBLES, Trouble

pytestmark = pytest.mark.engines
PROOFS = "QUARTET_PROOFS" in os.environ
HEALTHY_SCRAPES = 72 if PROOFS else 12
SCRAPES = 'count_over_time(up{job="quartet"}[1h])'
EVER = 'count_over_time(ALERTS{alertstate="firing"}[1h])'
OF_SPEED = {"QuartetSlow", "QuartetStoreSlow", "QuartetPoolExhausted", "QuartetDown"}
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


@pytest.fixture(scope="module")
def watched(engines: Shared) -> Iterator[Watched]:
    # Long timeouts, so that a busy machine is no outage.
    patient = {f"{role}_timeout": 10.0 for role in ROLES} | {"request_timeout": 10.0}
    with watching(engines, "alerts", **patient) as made:
        yield made


def test_no_alert_fires_in_healthy_traffic(watched: Watched) -> None:
    """In the short form these are ten minutes of the rules' time; alerts about speed may fire, on a busy machine."""
    found = watched.prometheus
    with watched.traffic():
        begun = found.value(SCRAPES)
        assert wait_until(lambda: found.value(SCRAPES) >= begun + HEALTHY_SCRAPES, PATIENCE)
    fired = {one["metric"]["alertname"] for one in found.asked("query", query=EVER)["result"]}
    assert fired - (set() if PROOFS else OF_SPEED) == set()
    assert found.value("sum(rate(quartet_http_requests_total[1m]))") > 0


def test_a_histogram_leads_to_traces(watched: Watched) -> None:
    found, recorded = watched.prometheus, SpanRecorder()
    person = watched.proxied_system.world.system.person()

    def leads(name: str) -> bool:
        """Make another request and look again, since a scrape may have missed the earlier ones."""
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
def test_every_other_fault_fires_the_alert_of_its_store(watched: Watched, role: str, trouble: Trouble) -> None:
    fires(watched, role, trouble)


@pytest.mark.proof
@pytest.mark.parametrize("role", FOLLOWING)
def test_alerts_that_follow_from_a_fault_fire_too(watched: Watched, role: str) -> None:
    wanted, fired = FOLLOWING[role], set[tuple[str, str]]()

    def all_have() -> bool:
        fired.update(watched.prometheus.firing())
        return fired >= wanted

    with watched.traffic(), watched.proxied_system.with_fault(role, "refused"):
        assert wait_until(all_have, PATIENCE), fired


def fires(watched: Watched, role: str, trouble: Trouble) -> None:
    found = watched.prometheus
    with watched.traffic(), watched.proxied_system.with_fault(role, trouble):
        assert wait_until(lambda: role in {store for _, store in watched.about(EXPECTED[trouble])}, PATIENCE), (
            found.firing()
        )
        assert {store for _, store in watched.about(OF_STATES)} <= {role}
    watched.settles()
