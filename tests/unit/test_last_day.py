"""An engine's counts of a table over the last day, from its totals and the levels noted a day ago."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from app.doctor.advice.last_day import of_last_day
from repositories.observer_port import Observed, Subject
from repositories.observers import counts_of
from repositories.relational.levels_port import LevelSample

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def observed(scans: float, rows: float) -> Observed:
    """Counts over a hundred days."""
    figures = {"rows": 10_000.0, "scans": scans, "scanned_rows": rows}
    averages = {"scans_a_day": scans / 100, "rows_of_a_scan": rows / scans}
    return Observed("PostgreSQL", "db", (Subject("table", "posts", {**figures, **averages}),), ())


def noted(hours: int, scans: float, rows: float) -> list[LevelSample]:
    """The counts as they were noted this many hours ago."""
    counts = counts_of(observed(scans, rows), ["documents"])
    return [LevelSample(one.name, NOW - hours * HOUR, round(one.figures["value"])) for one in counts]


def found(now: Observed, *samples: list[LevelSample]) -> tuple[float, float]:
    past: dict[str, list[LevelSample]] = {}
    for sample in itertools.chain(*samples):
        past.setdefault(sample.level, []).append(sample)
    (table,) = of_last_day(now, ["documents"], past, NOW).subjects
    return table.figures["scans_a_day"], table.figures["rows_of_a_scan"]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([], (3, 1000), id="nothing noted"),
        pytest.param([noted(24, 100, 1000)], (200, 1495), id="new"),
        pytest.param([noted(24, 300, 300_000)], (0, 0), id="healed"),
        pytest.param([noted(48, 100, 0), noted(6, 300, 300_000)], (100, 1500), id="the newest of a day ago"),
        pytest.param([noted(6, 100, 0)], (200, 1500), id="of less than a day"),
        pytest.param([noted(24, 1000, 1000)], (3, 1000), id="reset since then"),
    ],
)
def test_the_counts_of_the_last_day(samples: list[list[LevelSample]], expected: tuple[float, float]) -> None:
    assert found(observed(300, 300_000), *samples) == expected


def test_small_tables_are_not_noted() -> None:
    small = Observed(
        "PostgreSQL", "db", (Subject("table", "few", {"rows": 9.0, "scans": 1.0, "scanned_rows": 9.0}),), ()
    )
    assert counts_of(small, ["documents"]) == []
