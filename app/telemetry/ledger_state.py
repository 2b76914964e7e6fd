"""Gauges of the ledger's newest anchor and last audit, read from the anchors' folder at the time of the scrape."""

from collections.abc import Callable, Iterator
from datetime import datetime

from app.clock import Clock
from app.telemetry.gauges import Figures, Gauges, age

# Returns the time of the newest anchor, and the time and number of findings of the last audit; None for a missing one.
Known = Callable[[], tuple[datetime | None, tuple[datetime, int] | None]]


class LedgerState(Gauges):
    prefix = "quartet_ledger"
    about = {  # noqa: RUF012  a constant
        "anchor_age_seconds": "age of the newest anchor",
        "audit_age_seconds": "age of the last audit by `quartet doctor ledger`",
        "audit_findings": "number of findings of the last audit",
    }

    def __init__(self, known: Known, clock: Clock) -> None:
        self._known = known
        self._clock = clock

    def figures(self) -> Iterator[tuple[list[str], Figures]]:
        anchored_at, audited = self._known()
        if anchored_at is not None:
            yield [], {"anchor_age_seconds": age(self._clock, anchored_at)}
        if audited is not None:
            yield [], {"audit_age_seconds": age(self._clock, audited[0]), "audit_findings": audited[1]}
