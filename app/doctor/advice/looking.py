"""Observes a whole system: its engines, its own metrics, its backlogs, and forecasts of its growth."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from app.container import Container
from app.doctor.advice.forecast import Forecast, forecast
from app.doctor.advice.last_day import Past, of_last_day
from app.doctor.advice.own_observations import of_backlogs, of_forecast, of_series
from app.doctor.advice.scrape import Series
from repositories.errors import StoreError
from repositories.observer_port import Observed, Subject, observe
from repositories.observers import Observers, bounded, levels_of
from repositories.relational.levels_port import LevelSample

Looked = tuple[Observed, tuple[str, ...]]
PAST = timedelta(days=90)


def look(
    container: Container,
    observers: Observers,
    series: Series,
    notes: Sequence[str],
    limits: Mapping[str, float] | None = None,
) -> Iterator[Looked]:
    """Yield what was observed, with the roles concerned: one item per engine, and one for Quartet itself.

    `series` are the metrics of all servers and relays; `notes` says which could not be read. `limits` are limits by
    level, for what an engine does not know.
    """
    levels: list[Subject] = []
    further, past, now = list(notes), dict[str, list[LevelSample]](), container.kit.clock()
    try:
        now = container.stores.relational.now()
        past = _past(container, now)
    except StoreError as error:
        further.append(f"what was noted before: {error}")
    for observer, roles in observers:
        observed = observe(observer)
        levels += levels_of(observed, roles)
        yield of_last_day(observed, roles, past, now), roles
    subjects = _own(observers, series)
    try:
        subjects += of_backlogs(container.stores, container.stores.relational.now())
    except StoreError as error:
        further.append(f"what waits in the stores: {error}")
    subjects += map(of_forecast, forecasts(levels, past, now, limits or {}))
    yield Observed("Quartet", "its own series", tuple(subjects), tuple(further)), tuple(container.stores.by_role())


def forecasts(levels: Sequence[Subject], past: Past, now: datetime, limits: Mapping[str, float]) -> Iterator[Forecast]:
    """Forecast each level from its past samples and its current value."""
    for level in levels:
        newest = LevelSample(level.name, now, *bounded(level))
        found = forecast([*past.get(level.name, []), newest], limits.get(level.name))
        if found:
            yield found


def _past(container: Container, now: datetime) -> dict[str, list[LevelSample]]:
    past = container.stores.relational.levels.since(now - PAST)
    return {name: list(some) for name, some in groupby(past, key=lambda sample: sample.level)}


def metrics_of(container: Container) -> list[str]:
    """The URLs at which the server and the relay serve their metrics, by these settings."""
    settings = container.settings
    host, port = settings.metrics_at
    ports = [(host, port) if port else (settings.host, settings.port)]
    if settings.relay_metrics_port:
        ports.append((settings.host, settings.relay_metrics_port))
    return [f"http://{_reached(host)}:{port}/metrics" for host, port in ports]


def _reached(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound to
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _own(observers: Observers, series: Series) -> list[Subject]:
    served = {role: observer.engine for observer, roles in observers for role in roles}
    places = {role: number for number, (_, roles) in enumerate(observers) for role in roles}
    return list(of_series(series, served, places)) if series else []
