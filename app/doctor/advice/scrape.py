"""Scrapes `/metrics` of servers and relays and adds the samples up.

Counts run since the start of the processes, or over a given time.
"""

import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

Labels = frozenset[tuple[str, str]]
SECONDS = 5.0
LARGEST = 16 << 20
# Every process reports the same value for these, so the largest is taken. All other samples are added up.
_SAME = ("quartet_replica_", "quartet_store_up", "quartet_store_writable", "quartet_outbox_", "quartet_ledger_")
_COUNTS = ("_total", "_count", "_sum", "_bucket")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoMetrics(Exception):
    """There is no answer, or one without metrics of Quartet. The text is one line."""


class Series:
    """Samples by name and labels."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[Labels, float]] = defaultdict(dict)

    def add(self, text: str) -> None:
        # Imported late: on import, prometheus-client decides whether the processes of a server share their series.
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels, known = frozenset(sample.labels.items()), self._samples[sample.name]
                former = known.get(labels, 0.0)
                known[labels] = max(former, sample.value) if sample.name.startswith(_SAME) else former + sample.value

    def since(self, former: "Series") -> "Series":
        """Counts since the scrape `former`. Gauges keep their value, and a counter that was reset counts from 0."""
        found = Series()
        for name, samples in self._samples.items():
            before = former.samples(name) if name.endswith(_COUNTS) else {}
            for labels, value in samples.items():
                found._samples[name][labels] = value - (was if (was := before.get(labels, 0.0)) <= value else 0.0)
        return found

    def __bool__(self) -> bool:
        return any(name.startswith("quartet_") for name in self._samples)

    def samples(self, name: str) -> Mapping[Labels, float]:
        return self._samples.get(name, {})

    def values(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for labels, value in self.samples(name).items():
            yield dict(labels), value

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(value for found, value in self.values(name) if labels.items() <= found.items())

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sum for each value of a label."""
        sums: dict[str, float] = defaultdict(float)
        for labels, value in self.values(name):
            sums[labels.get(label, "")] += value
        return dict(sums)

    def slower(self, name: str, bound: float, among: Iterable[Mapping[str, str]] | None = None) -> tuple[float, float]:
        """How many observations of a histogram are above `bound`, and how many there are in all.

        `bound` is the upper bound of one of its buckets. `among` selects samples that have one of these sets of labels.
        """
        wanted = [{}] if among is None else list(among)
        count = within = 0.0
        for labels, value in self.values(f"{name}_bucket"):
            if any(each.items() <= labels.items() for each in wanted):
                edge = float(labels["le"])
                count += value if edge == float("inf") else 0
                within += value if edge == bound else 0
        return count - within, count


def scraped(addresses: Iterable[str], over: float = 0.0) -> tuple[Series, list[str]]:
    """Scrape all addresses. Returns the sum, and a line for each address that failed.

    With `over`, scrape twice with this many seconds in between, and return the counts of that time.
    """
    former = None
    if over:
        former, _ = scraped(addresses)
        time.sleep(over)
    series, silent = Series(), []
    for address in addresses:
        try:
            series.add(_text(address))
        except NoMetrics as error:
            silent.append(str(error))
    return (series.since(former) if former else series), silent


def _text(address: str) -> str:
    """Read one address, never through a proxy: metrics are within the operator's own network."""
    try:
        with _DIRECT.open(address, timeout=SECONDS) as answer:
            text: str = answer.read(LARGEST).decode("utf-8")
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise NoMetrics(
            f"no metrics at {address} ({getattr(error, 'reason', error)}): is a server up? Else name it by --metrics"
        ) from error
    if "quartet_" not in text:
        raise NoMetrics(f"no metrics of Quartet at {address}")
    return text
