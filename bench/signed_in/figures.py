"""What was measured of each route, by each way, in rounds; ratios of it, and its table."""

import statistics
from collections.abc import Mapping, Sequence

import click
from msgspec import Struct
from rich.console import Console
from rich.table import Table

WAYS = {"hello": "Flask hello", "peer": "Flask + psycopg, one join", "before": "before", "ours": "Quartet"}
ENGINES = ("server", "relay", "PostgreSQL", "Cassandra", "MongoDB", "Redis")


class Figure(Struct, frozen=True):
    """Requests a second, milliseconds, and processor milliseconds of each group of processes for one request."""

    rate: float
    p50: float
    p99: float
    busy: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.busy.values())


class Spread(Struct, frozen=True):
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def spread(values: Sequence[float]) -> Spread:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median, low, high)


class Route:
    """One kind of request. Of each way as many figures as there were rounds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rounds: dict[str, list[Figure]] = {}

    def add(self, way: str, figure: Figure) -> None:
        self.rounds.setdefault(way, []).append(figure)

    @property
    def ways(self) -> list[str]:
        return [way for way in WAYS if way in self.rounds]

    def rate(self, way: str) -> Spread:
        return spread([figure.rate for figure in self.rounds[way]])

    def total(self, way: str) -> Spread:
        return spread([figure.total for figure in self.rounds[way]])

    def busy(self, way: str, group: str) -> float:
        return statistics.median(figure.busy.get(group, 0.0) for figure in self.rounds[way])

    def rates(self, way: str, other: str) -> Spread:
        """Of the rounds' ratios: a round's measurements have had about the same machine."""
        pairs = zip(self.rounds[way], self.rounds[other], strict=True)
        return spread([a.rate / b.rate for a, b in pairs])

    def totals(self, way: str, other: str) -> Spread:
        """As `rates`, of the processor time of all processes."""
        pairs = zip(self.rounds[way], self.rounds[other], strict=True)
        return spread([a.total / b.total for a, b in pairs])

    def latest(self) -> str:
        return ", ".join(f"{way} {self.rounds[way][-1].rate:,.0f}/s" for way in self.ways)

    def report(self) -> None:
        table = Table("", "median/s", "of hello", "p50 ms", "p99 ms", "CPU ms", *ENGINES, title=self.name)
        for way in self.ways:
            table.add_row(
                WAYS[way],
                f"{self.rate(way).median:,.0f}",
                f"{self.rates(way, 'hello').median:.3f}" if "hello" in self.rounds else "",
                f"{statistics.median(f.p50 for f in self.rounds[way]):.2f}",
                f"{statistics.median(f.p99 for f in self.rounds[way]):.1f}",
                f"{self.total(way).median:.2f}",
                *(f"{self.busy(way, group):.2f}" for group in ENGINES),
            )
        Console(width=140).print(table)
        for way in ("peer", "before"):
            if way in self.rounds and "ours" in self.rounds:
                ratios = f"requests/s {self.rates('ours', way)}, processor time {self.totals('ours', way)}"
                click.echo(f"  Quartet / {WAYS[way]}: {ratios}")
