"""What servers and relays say at `/metrics`, added up. Counts are since their processes started, or of a while."""

import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

Labels = frozenset[tuple[str, str]]
SECONDS = 5.0
LARGEST = 16 << 20
# Each process says the same of these; all else is a part of a sum.
_SAME = ("quartet_replica_", "quartet_store_up", "quartet_store_writable", "quartet_outbox_", "quartet_ledger_")
_COUNTS = ("_total", "_count", "_sum", "_bucket")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoMetrics(Exception):
    """Nobody answers there, or with something else. Says so in one line."""


class Series:
    """Samples by name and labels."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[Labels, float]] = defaultdict(dict)

    def add(self, text: str) -> None:
        # Imported here: prometheus-client decides on import whether the processes of a server share their series.
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels, known = frozenset(sample.labels.items()), self._samples[sample.name]
                former = known.get(labels, 0.0)
                known[labels] = max(former, sample.value) if sample.name.startswith(_SAME) else former + sample.value

    def since(self, former: "Series") -> "Series":
        """What was counted since then. Levels are as they are now; what began anew counts from its beginning."""
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
        """The sum of those that have these labels."""
        return sum(value for found, value in self.values(name) if labels.items() <= found.items())

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sums for each value of a label."""
        sums: dict[str, float] = defaultdict(float)
        for labels, value in self.values(name):
            sums[labels.get(label, "")] += value
        return dict(sums)

    def slower(self, name: str, bound: float, among: Iterable[Mapping[str, str]] | None = None) -> tuple[float, float]:
        """How many of a histogram's, of these labels each, took longer than a bound of a bucket; and of how many."""
        wanted = [{}] if among is None else list(among)
        count = within = 0.0
        for labels, value in self.values(f"{name}_bucket"):
            if any(each.items() <= labels.items() for each in wanted):
                edge = float(labels["le"])
                count += value if edge == float("inf") else 0
                within += value if edge == bound else 0
        return count - within, count


def scraped(addresses: Iterable[str], over: float = 0.0) -> tuple[Series, list[str]]:
    """All of them together, and a line for each that did not answer. With `over`, counts are of so many seconds."""
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
    """Not through a proxy: metrics are inside one's own network."""
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
