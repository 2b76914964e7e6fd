"""Base class of gauges whose values are read at the time of the scrape."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock

Figures = Mapping[str, float | None]


class Gauges(Collector):
    """Gauges with the same `labels`. `about` has the help text of each gauge, by its name without `prefix`."""

    prefix: str
    labels: Sequence[str] = ()
    about: Mapping[str, str]

    @abstractmethod
    def figures(self) -> Iterator[tuple[Sequence[str], Figures]]:
        """Yield the values of the labels and the figures by name. A figure that is None or missing is left out."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = self._families()
        for labels, figures in self.figures():
            for name, figure in figures.items():
                if figure is not None:
                    families[name].add_metric(labels, figure)
        yield from families.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        return {
            name: GaugeMetricFamily(f"{self.prefix}_{name}", about, labels=self.labels)
            for name, about in self.about.items()
        }


def age(clock: Clock, at: datetime) -> float:
    """Seconds since `at`, at least 0."""
    return max(0.0, (clock() - at).total_seconds())
