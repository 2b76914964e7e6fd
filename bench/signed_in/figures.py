"""The figures of each route, by way and round; their ratios, and their table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.signed_in.routes import Goal, Route

WHO = {"hello": "Flask hello", "peer": "Flask + psycopg, one join", "before": "before", "ours": "Quartet"}
GROUPS = ("server", "relay", "PostgreSQL", "Cassandra", "MongoDB", "Redis")


class Figure(Struct, frozen=True):
    """Requests per second, percentiles in ms, and the CPU milliseconds of each group of processes per request."""

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


def label(way: str) -> str:
    who, _, which = way.partition(":")
    return f"{WHO[who]}, {which}" if which else WHO[who]


class Figures:
    """The figures of one route: for each way, one per round."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.rounds: dict[str, list[Figure]] = {}

    def add(self, way: str, figure: Figure) -> None:
        self.rounds.setdefault(way, []).append(figure)

    @property
    def ways(self) -> list[str]:
        return [way for way in self.route.ways if way in self.rounds]

    def rate(self, way: str) -> Spread:
        return spread([figure.rate for figure in self.rounds[way]])

    def total(self, way: str) -> Spread:
        return spread([figure.total for figure in self.rounds[way]])

    def busy(self, way: str, group: str) -> float:
        return statistics.median(figure.busy.get(group, 0.0) for figure in self.rounds[way])

    def ratio(self, goal: Goal) -> Spread | None:
        """The spread of the ratios per round, since the load on the machine is about the same within a round."""
        if goal.way not in self.rounds or goal.other not in self.rounds:
            return None
        pairs = zip(self.rounds[goal.way], self.rounds[goal.other], strict=True)
        return spread([a.rate / b.rate if goal.of == "rate" else a.total / max(b.total, 1e-6) for a, b in pairs])

    def latest(self) -> str:
        return ", ".join(f"{way} {self.rounds[way][-1].rate:,.0f}/s" for way in self.ways)

    def report(self) -> None:
        table = Table("", "median/s", "of hello", "p50 ms", "p99 ms", "CPU ms", *GROUPS, title=self.route.name)
        for way in self.ways:
            hello = self.ratio(Goal(way, "hello", "rate"))
            table.add_row(
                label(way),
                f"{self.rate(way).median:,.0f}",
                f"{hello.median:.3f}" if hello else "",
                f"{statistics.median(f.p50 for f in self.rounds[way]):.2f}",
                f"{statistics.median(f.p99 for f in self.rounds[way]):.1f}",
                f"{self.total(way).median:.2f}",
                *(f"{self.busy(way, group):.2f}" for group in GROUPS),
            )
        Console(width=150).print(table)
        for goal in self.route.goals:
            found = self.ratio(goal)
            if found:
                what = "requests/s" if goal.of == "rate" else "processor time"
                click.echo(f"  {what}, {label(goal.way)} / {label(goal.other)}: {found}; goal: {goal}")

    def as_json(self) -> Any:
        ways = {
            way: {
                "requests_per_second": self.rate(way),
                "cpu_ms": self.total(way),
                "cpu_ms_of": {group: self.busy(way, group) for group in GROUPS},
                "rounds": self.rounds[way],
            }
            for way in self.ways
        }
        ratios = [{"goal": goal, "ratio": self.ratio(goal)} for goal in self.route.goals if self.ratio(goal)]
        return msgspec.to_builtins({"route": self.route.name, "ways": ways, "ratios": ratios})
