"""Turns our own metrics and the backlogs of the stores into subjects for the rules."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import partial

from app.doctor.advice.forecast import Forecast
from app.doctor.advice.rule import size
from app.doctor.advice.scrape import Series
from app.stores import Stores
from repositories.observer_port import Subject
from repositories.relational.event_log_port import SinkState
from repositories.relational.webhooks_port import webhook_of

# Seconds. A call that takes longer than `SLOW` had to wait: normal ones take a hundredth. A write to a file may take
# longer, so for it the bound is `LATE`.
SLOW, LATE = 0.025, 0.25
_CALLS = "quartet_store_call_seconds"
_HOT = {"sessions", "cache"}
_NO_WRITES = ("select ", "read", "ping", "find", "MGET", "GET")


def of_series(series: Series, engines: Mapping[str, str], places: Mapping[str, int]) -> Iterator[Subject]:
    """`engines` by role. In `places`, roles on the same server or file have the same number."""
    yield _server(series)
    yield from _stores(series, engines, places)
    yield from _pools(series)
    yield from _replicas(series)
    hits, misses = (series.total("quartet_cache_events_total", kind=kind) for kind in ("hit", "miss"))
    errors = series.total("quartet_cache_events_total", kind="error")
    looked = max(hits + misses, 1)
    yield Subject("pages", "cache", {"looked_up": hits + misses, "miss_share": misses / looked, "errors": errors})
    late, delivered = series.slower("quartet_fanout_lag_seconds", 300.0)
    yield Subject("fan-out", "deliveries", {"deliveries": delivered, "late_share": late / max(delivered, 1)})
    yield Subject("alarms", "money", {"alarms": series.total("quartet_alarms_total")})


def _server(series: Series) -> Subject:
    answered, refused = series.total("quartet_http_requests_total"), series.total("quartet_requests_refused_total")
    failed = sum(
        value for labels, value in series.values("quartet_http_requests_total") if labels["status"].startswith("5")
    )
    slow, timed = series.slower("quartet_http_request_seconds", 0.5)
    open_, places = series.total("quartet_streams_open"), series.total("quartet_streams_limit")
    figures = {
        "requests": answered,
        "refused": refused,
        "refused_share": refused / max(answered + refused, 1),
        "failed_share": failed / max(answered, 1),
        "slow_share": slow / max(timed, 1),
        "in_flight_share": series.total("quartet_requests_in_flight") / max(series.total("quartet_requests_limit"), 1),
        "streams_share": open_ / max(places, 1),
        "lost_tail": series.total("quartet_lost_tail_total"),
    }
    return Subject("server", "requests", figures)


def _stores(series: Series, engines: Mapping[str, str], places: Mapping[str, int]) -> Iterator[Subject]:
    seconds, errors = series.by("store", f"{_CALLS}_sum"), series.by("store", "quartet_store_errors_total")
    for role, engine in engines.items():
        beside = [other for other in engines if places[other] == places[role]]
        together = [other for other in beside if other == role or {other, role} == _HOT]
        slow, calls = series.slower(_CALLS, SLOW, [{"store": role}])
        writes = [
            {"store": role, "operation": labels["operation"]}
            for labels, _ in series.values(f"{_CALLS}_count")
            if labels["store"] == role and not labels["operation"].startswith(_NO_WRITES)
        ]
        _, written = series.slower(_CALLS, LATE, writes)
        late, waited = series.slower("quartet_pool_wait_seconds", LATE, [{"store": role}])
        figures = {
            "calls": calls,
            "slow_share": slow / max(calls, 1),
            "writes": written,
            "late_waits": late,
            "late_waits_share": late / max(written, 1),
            "errors": errors.get(role, 0.0),
            "error_share": errors.get(role, 0.0) / max(calls, 1),
            "waits": waited,
            "wait_share": waited / max(calls, 1),
            # The share of the time of all roles on this server. Sessions and cache count together, as both use Redis.
            "time_share": _sum(seconds, together) / max(_sum(seconds, beside), 1e-9),
            "roles_beside": float(len(beside)),
        }
        yield Subject("store", role, figures, {"engine": engine})


def _sum(seconds: Mapping[str, float], roles: Collection[str]) -> float:
    return sum(seconds.get(role, 0.0) for role in roles)


def _pools(series: Series) -> Iterator[Subject]:
    for labels, most in series.values("quartet_pool_connections"):
        in_use = series.total("quartet_pool_in_use", **labels)
        share = {"in_use": in_use, "size": most, "in_use_share": in_use / max(most, 1)}
        yield Subject("pool", f"{labels['store']} {labels['lane']}", share)


def _replicas(series: Series) -> Iterator[Subject]:
    for labels, serves in series.values("quartet_replica_serves"):
        lag = {
            f"lag_{unit}": value
            for unit in ("seconds", "bytes")
            for found, value in series.values(f"quartet_replica_lag_{unit}")
            if found == labels
        }
        yield Subject("replica", f"{labels['replica']} of {labels['store']}", {"serves": serves, **lag})


def of_backlogs(stores: Stores, now: datetime) -> Iterator[Subject]:
    """The backlogs of the outboxes and of the sinks. Raises `StoreError`."""
    for truth, outbox in {"relational": stores.relational.outbox, "documents": stores.documents.outbox}.items():
        waiting = outbox.backlog()
        yield Subject(
            "outbox",
            truth,
            {
                "unsent": float(waiting.unsent),
                "oldest_seconds": _age(waiting.oldest, now),
                "dead_lettered": float(waiting.dead_lettered),
                "deferred": float(waiting.deferred),
            },
        )
    yield from map(partial(_sink, now=now), stores.relational.event_log.states())


def _sink(state: SinkState, now: datetime) -> Subject:
    """A receiver of webhooks is of another kind than a broker. For a disabled sink no events wait."""
    figures = {"dead_lettered": float(state.dead_lettered)}
    if state.disabled_at is None:
        figures |= {"waiting": float(state.waiting), "oldest_seconds": _age(state.oldest, now)}
    words = {"reason": state.reason or "it is not served"}
    webhook = webhook_of(state.sink)
    return (
        Subject("webhook", state.sink, figures, words | {"id": webhook})
        if webhook
        else Subject("sink", state.sink, figures, words)
    )


def of_forecast(found: Forecast) -> Subject:
    """A forecast as a subject. Levels are in bytes, except for connections."""
    written = "{:,.1f}".format if "connections" in found.level else size
    figures = {
        "days": found.days,
        "earliest_days": found.earliest,
        "value": found.value,
        "limit": found.limit,
        "growth_a_day": found.growth_a_day,
        "standard_error": found.error,
        "points": float(found.points),
        "span_days": found.span_days,
    }
    figures |= {} if found.latest is None else {"latest_days": found.latest}
    words = {
        "date": found.date(found.days),
        "earliest": found.date(found.earliest),
        "latest": "never" if found.latest is None else found.date(found.latest),
        "now": written(found.value),
        "most": written(found.limit),
        "growth": written(found.growth_a_day),
        "error": written(found.error),
    }
    return Subject("forecast", found.level, figures, words)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
