"""The figures of each rung, and their table."""

from collections import defaultdict
from statistics import median
from typing import Self

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.overload import Load


class Figure(Struct, frozen=True):
    """Answers per second, percentiles in milliseconds, and the server's CPU milliseconds per answer (`busy`)."""

    rate: float
    p50: float
    p99: float
    busy: float

    @classmethod
    def of(cls, load: Load, busy: float) -> Self:
        served = len(load.took)
        return cls(served / load.seconds, load.quantile(0.5) * 1000, load.quantile(0.99) * 1000, busy / served * 1000)


class Figures:
    """The figures of one mix of traffic: for each rung, one per round."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[Figure]] = defaultdict(list)

    def add(self, rung: str, figure: Figure) -> None:
        self._rounds[rung].append(figure)

    def latest(self, rung: str) -> str:
        found = self._rounds[rung][-1]
        return f"{found.rate:.0f}/s, p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms, CPU {found.busy:.2f} ms"

    def of(self, rung: str) -> Figure:
        """The medians over the rounds."""
        rounds = self._rounds[rung]
        return Figure(*(median(getattr(one, name) for one in rounds) for name in Figure.__struct_fields__))

    def ratio(self, rung: str) -> float:
        """The median of the ratios per round to the rate of the first rung."""
        first = next(iter(self._rounds.values()))
        return median(a.rate / b.rate for a, b in zip(self._rounds[rung], first, strict=True))

    def rungs(self) -> list[str]:
        return list(self._rounds)

    def report(self, title: str) -> None:
        table = Table("", "median/s", "of the file's", "p50 ms", "p99 ms", "server's CPU ms", title=title)
        for rung in self._rounds:
            found = self.of(rung)
            values = (f"{found.rate:,.0f}", f"{self.ratio(rung):.2f}", f"{found.p50:.1f}", f"{found.p99:.1f}")
            table.add_row(rung, *values, f"{found.busy:.2f}")
        Console(width=100).print(table)
