"""The figures of each way, and their table."""

import statistics
from collections import defaultdict

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.reads.load import Load

WAYS = {
    "bare": "bare WSGI",
    "hello": "Flask hello",
    "fast": "fast path",
    "flask": "cached, through Flask",
    "uncached": "uncached",
}


class Figure(Struct, frozen=True):
    """Answers per second, percentiles in milliseconds, and the server's CPU microseconds per answer (`busy`)."""

    rate: float
    p50: float
    p99: float
    busy: float


class Figures:
    """The figures by way. `calm` is the load at less than half of the maximal rate."""

    def __init__(self) -> None:
        self.calm: dict[str, Load] = {}
        self._rounds: dict[str, list[Figure]] = defaultdict(list)

    def add(self, way: str, figure: Figure) -> None:
        self._rounds[way].append(figure)

    def rate(self, way: str) -> float:
        return statistics.median(f.rate for f in self._rounds[way])

    def busy(self, way: str) -> float:
        return statistics.median(f.busy for f in self._rounds[way])

    def ratio(self, way: str, other: str) -> float:
        """The median of the ratios per round, since the load on the machine is about the same within a round."""
        pairs = zip(self._rounds[way], self._rounds[other], strict=True)
        return statistics.median(a.rate / b.rate for a, b in pairs)

    def latest(self) -> str:
        return ", ".join(f"{way} {self._rounds[way][-1].rate:,.0f}/s" for way in WAYS)

    def report(self, page: str) -> None:
        table = Table("", "median/s", "of hello", "of bare", "p50 ms", "p99 ms", "CPU us", "calm/s", "p50", "p99")
        table.title = page
        for way, name in WAYS.items():
            found, calm = self._rounds[way], self.calm[way]
            table.add_row(
                name,
                f"{self.rate(way):,.0f}",
                f"{self.ratio(way, 'hello'):.2f}",
                f"{self.ratio(way, 'bare'):.2f}",
                f"{statistics.median(f.p50 for f in found):.2f}",
                f"{statistics.median(f.p99 for f in found):.1f}",
                f"{self.busy(way):.0f}",
                f"{calm.rate:,.0f}",
                f"{calm.p50:.2f}",
                f"{calm.p99:.1f}",
            )
        Console(width=110).print(table)
