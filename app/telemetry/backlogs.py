"""Gauges of the relay's backlog, read at the time of the scrape and reused for a while.

A store that does not answer has only the series `readable` with 0.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from app.clock import Clock
from app.telemetry.background import Background
from app.telemetry.gauges import Figures, Gauges, age
from repositories.errors import StoreError
from repositories.outbox import Backlog, Outbox


class Backlogs(Gauges):
    prefix = "quartet_outbox"
    labels = ("truth",)
    about = {  # noqa: RUF012  a constant
        "readable": "1 when the truth reported how many events wait",
        "unsent": "events that wait for the relay",
        "dead_lettered": "events dead-lettered after too many failed attempts",
        "oldest_seconds": "age of the oldest event that waits; one postponed on purpose counts from when it is due",
        "deferred": "keys to drop and live events that wait for the cache's Redis to return",
    }

    def __init__(self, outboxes: Mapping[str, Outbox], clock: Clock) -> None:
        self._backlogs = Background({truth: partial(_read, outbox) for truth, outbox in outboxes.items()})
        self._clock = clock

    def figures(self) -> Iterator[tuple[list[str], Figures]]:
        for truth, backlog in self._backlogs.answers().items():
            yield [truth], self._known(backlog) if backlog else {"readable": 0}

    def _known(self, backlog: Backlog) -> Figures:
        return {
            "readable": 1,
            "unsent": backlog.unsent,
            "dead_lettered": backlog.dead_lettered,
            "oldest_seconds": age(self._clock, backlog.oldest) if backlog.oldest else 0.0,
            "deferred": backlog.deferred,
        }


def _read(outbox: Outbox) -> Backlog | None:
    try:
        return outbox.backlog()
    except StoreError:
        return None
