"""The dashboard and the alert rules use series that the application exports, and the docs list them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.clock import utc_now
from app.telemetry import series
from app.telemetry.backlogs import Backlogs
from app.telemetry.ledger_state import LedgerState
from app.telemetry.replicas import ReplicaGauges
from app.telemetry.sink_lags import SinkLags
from app.telemetry.store_states import StoreStates
from repositories.meter import CACHE_KINDS

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "deploy" / "grafana" / "quartet.json"
ALERTS = ROOT / "deploy" / "prometheus" / "quartet.rules.yml"
MONITORING = ROOT / "docs" / "monitoring.md"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
USED = re.compile(r"(quartet_\w+|\bup)(?:\{([^}]*)\})?")
# The series that Prometheus itself adds for each target.
OWN = {"up": {"job", "instance"}}
GROUPED = re.compile(r"by \(([^)]*)\)")
# The forms of lines in a rule file, by indentation.
LINE = {
    0: r"groups:",
    2: r"- name: \w+",
    4: r"rules:",
    6: r"- alert: (?P<alert>\w+)",
    8: r"expr: '(?P<expr>[^']+)'|for: (?P<delay>\d+[smh])|labels:|annotations:",
    10: r"severity: (?P<severity>page|ticket)|summary: '(?P<summary>[^']+)'|runbook: '(?P<runbook>[^']+)'",
}


def exported() -> dict[str, set[str]]:
    """The names of all exported series, with their labels."""
    declared = {series._name: set(series._labelnames) for series in series.own._collector_to_names}  # type: ignore[attr-defined]  # theirs
    asked = {
        "truth": [*Backlogs({}, utc_now).describe()],
        "sink": [*SinkLags(None, utc_now).describe()],
        "": [*LedgerState(lambda: (None, None), utc_now).describe()],
        "store": [*StoreStates({}).describe()],
        "store replica": [*ReplicaGauges({}).describe()],
    }
    families = [*series.own.collect(), *(family for found in asked.values() for family in found)]
    labels = declared | {one.name: set(names.split()) for names, found in asked.items() for one in found}
    return {
        family.name + suffix: labels[family.name] | ({"le"} if suffix == "_bucket" else set())
        for family in families
        for suffix in SUFFIXES[family.type]
    }


def alerts() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in ALERTS.read_text().splitlines():
        text = line.lstrip(" ")
        if text.startswith("#"):
            continue
        match = re.fullmatch(LINE[len(line) - len(text)], text)
        assert match, f"not a line of a rule file: {line}"
        values = {name: value for name, value in match.groupdict().items() if value is not None}
        if "alert" in values:
            found.append({})
        if values:
            found[-1].update(values)
    return found


def panels() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads(BOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (alert["expr"] for alert in alerts())
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


@pytest.mark.parametrize("expression", list(expressions()))
def test_the_dashboard_and_rules_use_exported_series(expression: str) -> None:
    series = exported() | OWN
    used = USED.findall(expression)
    assert used
    for name, selectors in used:
        assert name in series, name
        assert set(re.findall(r"(\w+)=", selectors)) <= series[name]
    known = set().union(*(series[name] for name, _ in used))
    for labels in GROUPED.findall(expression):
        assert set(labels.split(", ")) <= known
    for kinds in re.findall(r'kind=~?"([^"]+)"', expression):
        assert set(kinds.split("|")) <= set(CACHE_KINDS)
    assert expression.count("(") == expression.count(")")


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    found = alerts()
    assert len({alert["alert"] for alert in found}) == len(found) > 5
    for alert in found:
        assert set(alert) == {"alert", "expr", "delay", "severity", "summary", "runbook"}, alert["alert"]
        assert min(len(alert["summary"]), len(alert["runbook"])) > 20


def test_the_dashboard_is_complete() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["title"]
        assert panel["type"] == "row" or (panel["targets"] and panel["description"])
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_series_and_alert_is_in_the_docs() -> None:
    text = MONITORING.read_text()
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported()}
    assert {name for name in names if f"`{name}`" not in text} == set()
    assert {alert["alert"] for alert in alerts() if f"`{alert['alert']}`" not in text} == set()
    assert {kind for kind in CACHE_KINDS if f"`{kind}`" not in text} == set()
