"""When each alert fires, and that none does in hours of healthy traffic, by promtool's simulated clock."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.system.alerts.prometheus import FOLDER, RULES, command

HOURS, BEGUN = 2, 61
# One sample a minute; counters grow by the given amount.
HEALTHY = {
    'up{job="quartet"}': "1",
    **{f'quartet_store_up{{store="{store}"}}': "1" for store in ("relational", "cache")},
    **{f'quartet_store_writable{{store="{store}"}}': "1" for store in ("relational", "cache")},
    'quartet_http_requests_total{route="/feed",method="GET",status="200"}': "+6000",
    'quartet_http_requests_total{route="/feed",method="GET",status="503"}': "+6",
    'quartet_http_request_seconds_bucket{route="/feed",method="GET",le="0.1"}': "+5990",
    'quartet_http_request_seconds_bucket{route="/feed",method="GET",le="1"}': "+6000",
    'quartet_http_request_seconds_bucket{route="/feed",method="GET",le="+Inf"}': "+6000",
    'quartet_store_call_seconds_bucket{store="relational",operation="select follows",le="0.1"}': "+9990",
    'quartet_store_call_seconds_bucket{store="relational",operation="select follows",le="2.5"}': "+10000",
    'quartet_store_call_seconds_bucket{store="relational",operation="select follows",le="+Inf"}': "+10000",
    'quartet_store_call_seconds_count{store="relational",operation="select follows"}': "+10000",
    'quartet_store_errors_total{store="relational",operation="select follows"}': "+10",
    'quartet_store_contended_total{store="relational",operation="select follows"}': "+10",
    'quartet_pool_wait_seconds_count{store="relational"}': "+100",
    'quartet_requests_refused_total{reason="crowded"}': "+3",
    "quartet_streams_open": "20",
    "quartet_streams_limit": "512",
    'quartet_outbox_readable{truth="documents"}': "1",
    'quartet_outbox_oldest_seconds{truth="documents"}': "1",
    'quartet_outbox_dead_lettered{truth="documents"}': "0",
    'quartet_outbox_deferred{truth="documents"}': "0",
    'quartet_sink_oldest_seconds{sink="kafka"}': "1",
    'quartet_sink_oldest_seconds{sink="webhooks"}': "5",
    'quartet_sink_dead_lettered{sink="kafka"}': "0",
    'quartet_fanout_lag_seconds_bucket{le="60"}': "+50000",
    'quartet_fanout_lag_seconds_bucket{le="1800"}': "+50000",
    'quartet_fanout_lag_seconds_bucket{le="+Inf"}': "+50000",
    'quartet_cache_events_total{kind="hit"}': "+9000",
    'quartet_cache_events_total{kind="miss"}': "+900",
    'quartet_replica_serves{store="relational",replica="1"}': "1",
    "quartet_lost_tail_total": "0",
    'quartet_alarms_total{seen="event"}': "0",
    "quartet_ledger_anchor_age_seconds": "1800",
    "quartet_ledger_audit_findings": "0",
}


class Fault(NamedTuple):
    """From minute `BEGUN` on, series whose names have these prefixes have other values; after `after` minutes the alert
    fires.
    """

    alert: str
    after: int
    series: dict[str, str]


FAULTS = [
    Fault("QuartetDown", 1, {"up": "0"}),
    Fault(
        "QuartetStoreDown", 1, {'quartet_store_up{store="cache"}': "0", 'quartet_store_writable{store="cache"}': "0"}
    ),
    Fault("QuartetStoreReadOnly", 1, {'quartet_store_writable{store="relational"}': "0"}),
    Fault("QuartetErrors", 6, {'quartet_http_requests_total{route="/feed",method="GET",status="503"}': "+600"}),
    Fault("QuartetLedgerAltered", 2, {"quartet_alarms_total": "+1"}),
    Fault("QuartetLedgerAltered", 1, {"quartet_ledger_audit_findings": "2"}),
    Fault("QuartetSlow", 12, {'quartet_http_request_seconds_bucket{route="/feed",method="GET",le="0.1"}': "+5000"}),
    Fault("QuartetStoreFailing", 6, {"quartet_store_errors_total": "+1000"}),
    Fault("QuartetStoreContended", 6, {"quartet_store_contended_total": "+3000"}),
    Fault(
        "QuartetStoreSlow",
        7,
        {'quartet_store_call_seconds_bucket{store="relational",operation="select follows",le="0.1"}': "+8000"},
    ),
    Fault("QuartetOverloaded", 6, {"quartet_requests_refused_total": "+900"}),
    Fault("QuartetStreamsFull", 10, {"quartet_streams_open": "500"}),
    Fault("QuartetPoolExhausted", 12, {"quartet_pool_wait_seconds_count": "+2000"}),
    Fault("QuartetRelayBehind", 5, {"quartet_outbox_oldest_seconds": "90"}),
    Fault("QuartetEventsDeadLettered", 1, {"quartet_outbox_dead_lettered": "1"}),
    Fault("QuartetOutboxUnreadable", 5, {"quartet_outbox_readable": "0"}),
    Fault("QuartetSinkBehind", 5, {'quartet_sink_oldest_seconds{sink="kafka"}': "90"}),
    Fault("QuartetSinkRefuses", 1, {"quartet_sink_dead_lettered": "1"}),
    Fault("QuartetFanoutLag", 12, {'quartet_fanout_lag_seconds_bucket{le="60"}': "+30000"}),
    Fault("QuartetCacheMissing", 36, {'quartet_cache_events_total{kind="miss"}': "+20000"}),
    Fault("QuartetReplicaAway", 10, {"quartet_replica_serves": "0"}),
    Fault("QuartetTailLost", 2, {"quartet_lost_tail_total": "+1"}),
    Fault("QuartetCacheDeferred", 10, {"quartet_outbox_deferred": "40"}),
    Fault("QuartetAnchorOld", 10, {"quartet_ledger_anchor_age_seconds": "12000"}),
]
EVER = f'count_over_time(ALERTS{{alertstate="firing"}}[{HOURS}h])'
FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def test_each_alert_fires_for_its_fault_alone_and_none_without_one(tmp_path: Path) -> None:
    """No alert fires before the fault has lasted as long as the rule's `for`."""
    healthy = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values(how, how)} for name, how in HEALTHY.items()],
        "promql_expr_test": [{"expr": EVER, "eval_time": f"{HOURS}h", "exp_samples": []}],
    }
    file = tmp_path / "rules.test.json"
    tests = [healthy, *(group(fault) for fault in FAULTS)]
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    checked = subprocess.run([command("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, (checked.stdout + checked.stderr)[-5000:]


def group(fault: Fault) -> dict[str, object]:
    touched = {name for name in HEALTHY if name.startswith(tuple(fault.series))}
    assert touched, fault
    series = [
        {"series": name, "values": values(how, next((v for n, v in fault.series.items() if name.startswith(n)), how))}
        for name, how in HEALTHY.items()
    ]
    fires = [{"labels": f'{{alertname="{fault.alert}"}}', "value": 1}]
    wait = dict(re.findall(r"alert: (\w+)\n.*\n +for: (\d+)m", RULES.read_text()))[fault.alert]
    early = BEGUN + int(wait) - 1
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {"expr": FIRING, "eval_time": f"{early}m", "exp_samples": []},
            {"expr": FIRING, "eval_time": f"{BEGUN + fault.after}m", "exp_samples": fires},
        ],
    }


def values(before: str, after: str) -> str:
    """The values of a series before and after the beginning of the fault."""
    minutes = HOURS * 60 - BEGUN
    if after.startswith("+"):
        first, then = int(before), int(after)
        return f"0+{first}x{BEGUN - 1} {(BEGUN - 1) * first + then}+{then}x{minutes}"
    return f"{before}x{BEGUN - 1} {after}x{minutes}"


def test_every_alert_has_a_fault() -> None:
    assert {fault.alert for fault in FAULTS} == set(re.findall(r"alert: (\w+)", RULES.read_text()))


def test_promtool_accepts_the_files() -> None:
    for kind, file in (("rules", RULES), ("config", FOLDER / "prometheus.yml")):
        done = subprocess.run([command("promtool"), "check", kind, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
