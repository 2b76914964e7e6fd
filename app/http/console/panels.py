"""The data of the console's panels. Each panel is loaded by its own request, so a slow store delays only its panel."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from flask import current_app

from app.http.console import engines, ladder
from app.http.console.away import asked
from app.http.edge.deps import container
from app.http.edge.metrics import HISTORY
from app.telemetry.history import History, Labels, Recent, quantile
from app.telemetry.readiness import ask_all
from repositories.outbox import Outbox
from repositories.read_your_writes import ReplicaState

Context = dict[str, Any]


def recent() -> Recent | None:
    """The recent metrics; None if metrics are switched off."""
    history = cast("History | None", current_app.extensions.get(HISTORY))
    return history.look() if history else None


def outboxes() -> dict[str, Outbox]:
    stores = container().stores
    return {"relational": stores.relational.outbox, "documents": stores.documents.outbox}


def stores() -> Context:
    by_role, series, schemes = container().stores.by_role(), recent(), container().settings.engines
    found = ask_all(by_role)
    rows = []
    for role, answer in found.items():
        buckets = series.buckets("call_seconds", of_labels=(role,)) if series else {}
        size, used = (_value_of(series, name, role) for name in ("pool_size", "pool_in_use"))
        rows.append(
            {
                "role": role,
                "engine": ladder.engine(schemes[role]),
                "hosts": by_role[role].hosts(),
                "answer": answer,
                "rate": _rate_of(series, buckets),
                "p50": quantile(0.5, buckets),
                "p99": quantile(0.99, buckets),
                "errors": series.rates("call_errors").get((role,), 0.0) if series and series.seconds else None,
                "pool": None if size is None else (int(used or 0), int(size)),
            }
        )
    amiss = {role: answer.status for role, answer in found.items() if answer.status != "ok"}
    say = "; ".join(f"{role}: {status.replace('_', ' ')}" for role, status in amiss.items()) or "all stores are well"
    return {"rows": rows, "say": say, "series": series}


def rung() -> Context:
    schemes = container().settings.engines
    rows = [(role, ladder.engine(schemes[role])) for role in ladder.ROLES]
    return {"rung": ladder.rung(schemes), "rungs": list(ladder.RUNGS), "rows": rows, "say": ""}


def routes() -> Context:
    series = recent()
    if series is None:
        return {"series": None, "say": ""}
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    grown = series.grown("requests") if series.seconds else {}
    for (route, method, status), total in series.now("requests").items():
        counts[route, method] += Counter({"total": int(total), f"{status[0]}xx": int(total)})
        counts[route, method]["grown"] += int(grown.get((route, method, status), 0))
    rows = []
    for route, method in sorted(counts, key=lambda one: (-counts[one]["grown"], -counts[one]["total"], one)):
        counted = counts[route, method]
        buckets = series.buckets("request_seconds", of_labels=(route, method))
        rows.append(
            {
                "method": method,
                "route": _VARIABLE.sub(r"{\1}", route),
                "rate": counted["grown"] / series.seconds if series.seconds else None,
                "p50": quantile(0.5, buckets),
                "p99": quantile(0.99, buckets),
                "counted": counted,
            }
        )
    return {
        "series": series,
        "rows": rows,
        "requests": series.trend("requests"),
        "errors": series.trend("requests", _failed),
        "refused": sum(series.now("refused").values()),
        "say": "",
    }


def lags() -> Context:
    relational, series = container().stores.relational, recent()
    lag = series.buckets("fanout_lag") if series else {}
    replicated = {role: store for role, store in container().stores.by_role().items() if store.replicated}
    replicas: dict[str, list[ReplicaState]] = {role: store.replicas() for role, store in replicated.items()}
    return {
        "backlogs": {truth: asked(outbox.backlog) for truth, outbox in outboxes().items()},
        "fanouts": asked(relational.fanouts.lag),
        "sinks": asked(relational.event_log.states),
        "replicas": replicas,
        "p50": quantile(0.5, lag),
        "p99": quantile(0.99, lag),
        "series": series,
        "beside": _remark_on_relays(series),
        "deliveries": series.trend("deliveries") if series else [],
        "say": "",
    }


def cache() -> Context:
    series, levels = recent(), engines.levels("cache")
    if series is None:
        return {"series": None, "levels": levels, "say": ""}
    rates, now = series.rates("cache"), series.now("cache")
    recently = series.grown("cache") if series.seconds else now
    answered = [sum(found.get((kind,), 0.0) for kind in kinds) for kinds in (HITS, MISSES) for found in (recently,)]
    return {
        "series": series,
        "rows": [(kind, about, now.get((kind,), 0.0), rates.get((kind,))) for kind, about in KINDS.items()],
        "ratio": answered[0] / sum(answered) if sum(answered) else None,
        "hits": series.trend("cache", lambda labels: labels[0] in HITS),
        "misses": series.trend("cache", lambda labels: labels[0] in MISSES),
        "engine": ladder.engine(container().settings.engines["cache"]),
        "levels": levels,
        "say": "",
    }


def live() -> Context:
    series = recent()
    if series is None:
        return {"series": None, "say": ""}
    rates = series.rates("events")
    rows = [(*labels, total, rates.get(labels)) for labels, total in sorted(series.now("events").items())]
    return {
        "series": series,
        "rows": rows,
        "open": series.level("streams"),
        "most": series.level("most_streams"),
        "beside": _remark_on_relays(series),
        "say": "",
    }


_VARIABLE = re.compile(r"<(?:[^<>]*:)?([^<>]*)>")
HITS, MISSES = ("hit", "stale", "negative"), ("miss", "error")
KINDS = {
    "hit": "a fresh value",
    "stale": "an old value was served",
    "negative": "a cached absence",
    "miss": "no value",
    "load": "a value was read from the stores: a fill",
    "refresh": "a load before the expiry",
    "refused": "a late fill was discarded",
    "drop": "invalidated",
    "error": "the cache did not answer",
}
PANELS: dict[str, tuple[str, Callable[[], Context]]] = {
    "stores": ("Stores", stores),
    "ladder": ("Ladder", rung),
    "routes": ("Routes", routes),
    "lags": ("Lags", lags),
    "cache": ("Cache", cache),
    "live": ("Live events", live),
    "advice": ("Advice", engines.advice),
}
# The columns of the overview page, each a list of panel names and titles.
COLUMNS = [
    [(name, PANELS[name][0]) for name in names] for names in (("stores", "routes"), ("ladder", "lags", "cache", "live"))
]


def now() -> datetime:
    return container().kit.clock()


def _remark_on_relays(series: Recent | None) -> str:
    """A remark about external relays, whose figures come from their own metrics; empty for an inline relay."""
    if container().settings.relay_inline:
        return ""
    if not container().settings.relays:
        return "The relay is a separate process: set QUARTET_CONSOLE_RELAYS to see its metrics here."
    found = series.now("relays") if series else {}
    silent = sorted(name for (name,), up in found.items() if not up)
    without = f" No answer from {', '.join(silent)}: their last values are shown." if silent else ""
    return f"Relays that answer: {len(found) - len(silent)}.{without}"


def _failed(labels: Labels) -> bool:
    return labels[2].startswith("5")


def _value_of(series: Recent | None, name: str, store: str) -> float | None:
    return series.now(name).get((store,)) if series else None


def _rate_of(series: Recent | None, buckets: dict[float, float]) -> float | None:
    return max(buckets.values(), default=0.0) / series.seconds if series and series.seconds else None
