"""`/metrics` and `Server-Timing`."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry import background
from app.telemetry.backlogs import Backlogs
from config import Settings
from repositories.errors import ReadOnly, Unavailable
from repositories.outbox import Backlog
from tests.apps import BASE, System, embedded, running
from tests.recorded import SpanRecorder

NOW = datetime(2031, 5, 17, tzinfo=UTC)
# W3C Server-Timing: metric-name *( ";" param ), in a comma-separated list.
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
ENTRY = rf'{TOKEN}(?:;{TOKEN}=(?:{TOKEN}|"[^"\\]*"))*'
TIMING = re.compile(rf"{ENTRY}(?:, {ENTRY})*")


def scrape(system: System) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = system.app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.get_data(as_text=True))
        for sample in family.samples
    }


def value(system: System, name: str, **labels: str) -> float:
    return scrape(system).get((f"quartet_{name}", frozenset(labels.items())), 0.0)


def test_every_answer_has_server_timing(system: System) -> None:
    ada = system.person()
    post = ada.publish()
    etag = ada.etag(f"/posts/{post}")
    stranger = system.app.test_client()
    answers = {
        200: ada.send("GET", f"/posts/{post}"),
        304: ada.send("GET", f"/posts/{post}", headers={"If-None-Match": etag}),
        401: stranger.get(f"{BASE}/feed"),
        404: stranger.get("/nowhere"),
        405: stranger.delete("/health/live"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert TIMING.fullmatch(answer.headers["Server-Timing"]), answer.headers["Server-Timing"]
    assert re.search(r'sessions;dur=[\d.]+;desc="1 round trip",', answers[200].headers["Server-Timing"])
    assert re.fullmatch(r"app;dur=[\d.]+", answers[404].headers["Server-Timing"])


def test_answers_are_counted_by_route_and_never_by_path(system: System) -> None:
    ada = system.person()
    labels = {"route": f"{BASE}/accounts/<handle:handle>", "method": "GET"}
    before = value(system, "http_requests_total", **labels, status="200")
    timed = value(system, "http_request_seconds_count", **labels)
    for _ in range(3):
        ada.get(f"/accounts/{ada.handle}")
    assert value(system, "http_requests_total", **labels, status="200") == before + 3
    assert value(system, "http_request_seconds_count", **labels) == timed + 3


def test_unknown_routes_and_methods_share_one_series(system: System) -> None:
    client = system.app.test_client()
    for number in range(3):
        client.open(f"/made/up/{number}", method=f"VERB{number}")
    routes = {dict(labels).get("route") for _, labels in scrape(system)} - {None}
    methods = {dict(labels).get("method") for _, labels in scrape(system)} - {None}
    rules = {rule.rule for rule in system.app.url_map.iter_rules()}
    assert "unknown" in routes
    assert routes <= rules | {"unknown"}
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "unknown"}


def test_calls_are_timed_by_store_and_operation(system: System) -> None:
    labels = {"store": "relational", "operation": "select accounts"}
    before = value(system, "store_call_seconds_count", **labels)
    further = value(system, "store_further_trips_total", store="relational")
    system.anybody().get(f"/accounts/{system.person().handle}")
    assert value(system, "store_call_seconds_count", **labels) > before
    assert value(system, "store_further_trips_total", store="relational") > further


def test_an_unavailable_store_counts_as_an_error(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise sqlite3.OperationalError

    labels = {"store": "sessions", "operation": "read"}
    before = value(system, "store_errors_total", **labels)
    ada = system.person()
    monkeypatch.setattr(system.container.stores.sessions._database, "_connection", broken)  # type: ignore[attr-defined]  # the embedded adapter's
    ada.get("/accounts/me", 503)
    assert value(system, "store_errors_total", **labels) == before + 1


def test_waiting_events_are_gauges(system: System) -> None:
    system.person().publish()
    assert value(system, "outbox_readable", truth="documents") == 1
    assert value(system, "outbox_unsent", truth="documents") == 1
    assert value(system, "outbox_dead_lettered", truth="documents") == 0
    assert ("quartet_outbox_oldest_seconds", frozenset({("truth", "documents")})) in scrape(system)


class FakeOutbox:
    """An outbox that only has a backlog, and answers once `answering` is set."""

    def __init__(self, backlog: Backlog | None = None) -> None:
        self.answering = threading.Event()
        self.asked = 0
        self.is_asked = False
        self._backlog = backlog

    def backlog(self) -> Backlog:
        self.asked += 1
        self.is_asked = True
        self.answering.wait(60)
        self.is_asked = False
        if self._backlog is None:
            raise Unavailable("documents")
        return self._backlog


@pytest.fixture
def well() -> FakeOutbox:
    made = FakeOutbox(Backlog(3, 1, NOW))
    made.answering.set()
    return made


@pytest.fixture
def frozen() -> Iterator[FakeOutbox]:
    made = FakeOutbox()
    yield made
    made.answering.set()


def samples(backlogs: Backlogs) -> set[tuple[str, str, float]]:
    return {(s.name, s.labels["truth"], s.value) for family in backlogs.collect() for s in family.samples}


def test_a_frozen_truth_delays_no_scrape_and_hides_no_other(well: FakeOutbox, frozen: FakeOutbox) -> None:
    backlogs = Backlogs({"relational": well, "documents": frozen}, lambda: NOW)  # type: ignore[dict-item]  # fakes
    found = [samples(backlogs) for _ in range(3)]
    assert frozen.is_asked, "a scrape has waited for it"
    assert found[0] == found[2]
    assert ("quartet_outbox_readable", "documents", 0) in found[0]
    assert ("quartet_outbox_unsent", "relational", 3) in found[0]
    assert not any(truth == "documents" and "readable" not in name for name, truth, _ in found[0])
    assert frozen.asked == 1


def test_an_unavailable_truth_is_reported_as_unreadable(frozen: FakeOutbox) -> None:
    frozen.answering.set()
    assert samples(Backlogs({"documents": frozen}, lambda: NOW)) == {  # type: ignore[dict-item]  # a fake
        ("quartet_outbox_readable", "documents", 0)
    }


def test_a_backlog_is_not_counted_for_each_scrape(well: FakeOutbox) -> None:
    backlogs = Backlogs({"relational": well}, lambda: NOW)  # type: ignore[dict-item]  # a fake
    for _ in range(5):
        samples(backlogs)
    assert well.asked == 1


def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    with running(replace(Settings(**embedded(tmp_path)), metrics=False)) as system:
        client = system.app.test_client()
        assert client.get("/metrics").status_code == 404
        assert "Server-Timing" in client.get("/health/live").headers


read: Callable[[str], Iterator[Metric]] = openmetrics


def test_openmetrics_have_exemplars_of_recorded_traces(system: System) -> None:
    ada, recorded = system.person(), SpanRecorder()
    with recorded.recording():
        ada.get("/accounts/me")
        system.relay.drain()
    [request] = recorded.story.named(f"GET {BASE}/accounts/me")
    answer = system.app.test_client().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {one.name: one for one in read(answer.get_data(as_text=True))}
    labels = {"route": f"{BASE}/accounts/me", "method": "GET"}
    found = [one for one in families["quartet_http_request_seconds"].samples if one.labels.items() >= labels.items()]
    [marked] = [one for one in found if one.exemplar and one.exemplar.labels == {"trace_id": request.trace}]
    assert marked.exemplar
    assert 0 < marked.exemplar.value <= float(marked.labels["le"])
    assert any(one.exemplar for one in families["quartet_store_call_seconds"].samples)
    plain = system.app.test_client().get("/metrics").get_data(as_text=True)
    assert request.trace not in plain


def test_stores_are_up_and_writable_or_not(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FRESH_SECONDS", 0.0)

    def state() -> list[tuple[float, float]]:
        found = scrape(system)
        stores = [frozenset({("store", store)}) for store in ("documents", "feeds")]
        return [(found["quartet_store_up", one], found["quartet_store_writable", one]) for one in stores]

    def broken(error: Exception) -> Callable[[], None]:
        def ping() -> None:
            raise error

        return ping

    assert state() == [(1, 1), (1, 1)]
    monkeypatch.setattr(system.container.stores.documents, "ping", broken(Unavailable("documents")))
    monkeypatch.setattr(system.container.stores.feeds, "ping", broken(ReadOnly("feeds")))
    assert state() == [(0, 0), (1, 0)]


def test_a_slow_store_keeps_its_last_answer_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    answering, slow = threading.Event(), threading.Event()

    def ask() -> str:
        if slow.is_set():
            answering.wait(60)
        return "well"

    monkeypatch.setattr(background, "FRESH_SECONDS", 0.0)
    asking = background.Background({"store": ask})
    assert asking.answers() == {"store": "well"}
    slow.set()
    assert asking.answers() == {"store": "well"}
    monkeypatch.setattr(background, "LATEST_SECONDS", 0.0)
    assert asking.answers() == {"store": None}
    answering.set()


def test_with_an_address_of_their_own_the_route_is_missing(tmp_path: Path) -> None:
    with running(replace(Settings(**embedded(tmp_path)), metrics_address="127.0.0.1:9999")) as system:
        assert system.app.test_client().get("/metrics").status_code == 404
