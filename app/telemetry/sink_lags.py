"""Gauges of how far sinks are behind, read at the time of the scrape. All receivers of webhooks are one series."""

from collections.abc import Iterator

from app.clock import Clock
from app.telemetry.background import Background
from app.telemetry.gauges import Figures, Gauges, age
from repositories.errors import StoreError
from repositories.relational.event_log_port import EventLog, SinkState
from repositories.relational.webhooks_port import series_of


class SinkLags(Gauges):
    """A disabled sink has no waiting events. The series are missing while the database does not answer."""

    prefix = "quartet_sink"
    labels = ("sink",)
    about = {  # noqa: RUF012  a constant
        "waiting": "events that wait for the sink",
        "oldest_seconds": "age of the oldest event that waits for the sink",
        "dead_lettered": "events that the sink has refused",
    }

    def __init__(self, log: EventLog | None, clock: Clock) -> None:
        self._states = Background({"sinks": lambda: _read(log)} if log else {})
        self._clock = clock

    def figures(self) -> Iterator[tuple[list[str], Figures]]:
        by_series: dict[str, list[SinkState]] = {}
        for state in self._states.answers().get("sinks") or ():
            by_series.setdefault(series_of(state.sink), []).append(state)
        for name, states in by_series.items():
            served = [state for state in states if state.disabled_at is None]
            oldest = [age(self._clock, state.oldest) for state in served if state.oldest]
            yield (
                [name],
                {
                    "waiting": sum(state.waiting for state in served),
                    "oldest_seconds": max(oldest, default=0.0),
                    "dead_lettered": sum(state.dead_lettered for state in states),
                },
            )


def _read(log: EventLog) -> list[SinkState] | None:
    try:
        return log.states()
    except StoreError:
        return None
