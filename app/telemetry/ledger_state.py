"""What is known of the ledger's anchors and its last audit, read from their folder when metrics are scraped."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock

# The time of the newest anchor; the time of the last audit and how much it found. None where there is none.
Known = Callable[[], tuple[datetime | None, tuple[datetime, int] | None]]


class LedgerState(Collector):
    def __init__(self, known: Known, clock: Clock) -> None:
        self._known = known
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        anchor_age, audit_age, findings = _families()
        anchored_at, audited = self._known()
        if anchored_at is not None:
            anchor_age.add_metric([], self._age(anchored_at))
        if audited is not None:
            audit_age.add_metric([], self._age(audited[0]))
            findings.add_metric([], audited[1])
        yield from (anchor_age, audit_age, findings)

    def _age(self, at: datetime) -> float:
        return max(0.0, (self._clock() - at).total_seconds())


def _families() -> tuple[GaugeMetricFamily, ...]:
    return tuple(
        GaugeMetricFamily(f"quartet_ledger_{name}", about)
        for name, about in (
            ("anchor_age_seconds", "age of the newest anchor"),
            ("audit_age_seconds", "age of the last audit by `quartet doctor ledger`"),
            ("audit_findings", "what the last audit has found"),
        )
    )
