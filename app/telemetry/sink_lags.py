"""How far sinks are behind, as metrics, read when they are scraped. Receivers of webhooks count as one."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock
from app.telemetry.background import Background
from repositories.errors import StoreError
from repositories.relational.event_log_port import EventLog, SinkState
from repositories.relational.webhooks_port import series_of


class SinkLags(Collector):
    """One that is disabled waits for nothing. Without an answer of the database the series are missing."""

    def __init__(self, log: EventLog | None, clock: Clock) -> None:
        self._asking = Background({"sinks": lambda: _read(log)} if log else {})
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting, oldest, dead_lettered = _families()
        by_series: dict[str, list[SinkState]] = {}
        for state in self._asking.answers().get("sinks") or ():
            by_series.setdefault(series_of(state.sink), []).append(state)
        for name, states in by_series.items():
            served = [state for state in states if state.disabled_at is None]
            waiting.add_metric([name], sum(state.waiting for state in served))
            oldest.add_metric([name], max((self._age(state.oldest) for state in served), default=0.0))
            dead_lettered.add_metric([name], sum(state.dead_lettered for state in states))
        yield from (waiting, oldest, dead_lettered)

    def _age(self, oldest: datetime | None) -> float:
        return 0.0 if oldest is None else max(0.0, (self._clock() - oldest).total_seconds())


def _read(log: EventLog) -> list[SinkState] | None:
    try:
        return log.states()
    except StoreError:
        return None


def _families() -> tuple[GaugeMetricFamily, ...]:
    return tuple(
        GaugeMetricFamily(f"quartet_sink_{name}", about, labels=["sink"])
        for name, about in (
            ("waiting", "events that wait for the sink"),
            ("oldest_seconds", "since when the oldest of them has waited"),
            ("dead_lettered", "events that the sink has refused"),
        )
    )
