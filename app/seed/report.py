"""Output of a run: a progress bar per step on a terminal, plain lines elsewhere, and a table at the end."""

import time
from collections.abc import Mapping, Sequence

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from app.seed.work import Outcome, Progress, Step

EVERY_SECONDS = 10.0
Engines = Mapping[str, str]  # by role


class ProgressLines(Progress):
    """A line at the end of a step, and some in between."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._total = self._done = 0
        self._started = self._said = time.monotonic()

    def start(self, step: Step, rows: int) -> None:  # noqa: ARG002 - lines are printed later
        self._total, self._done = rows, 0
        self._started = self._said = time.monotonic()

    def advance(self, step: Step, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            speed = rate(self._done, now - self._started)
            click.echo(f"  {step.kind}: {self._done:,} of {self._total:,}, {speed} rows/s")

    def finish(self, outcome: Outcome) -> None:
        speed = rate(outcome.rows, outcome.seconds)
        known = outcome.rows - outcome.written
        note = f", {known:,} were there" if known else ""
        where = self._engines[outcome.role]
        click.echo(f"{outcome.kind}: {outcome.rows:,} rows, {outcome.seconds:.1f} s, {speed} rows/s, {where}{note}")


class ProgressBars(Progress):
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]} rows/s"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[where]}"),
        )
        self._task = TaskID(0)
        self._done = 0
        self._started = time.monotonic()

    def start(self, step: Step, rows: int) -> None:
        self._done, self._started = 0, time.monotonic()
        where = self._engines[step.role]
        self._task = self._bars.add_task(step.kind, total=rows, speed="-", where=where)
        self._bars.start()

    def advance(self, step: Step, rows: int) -> None:  # noqa: ARG002 - steps run one after another
        self._done += rows
        self._bars.update(self._task, advance=rows, speed=rate(self._done, time.monotonic() - self._started))

    def close(self) -> None:
        self._bars.stop()


def rate(rows: int, seconds: float) -> str:
    return f"{rows / max(seconds, 0.001):,.0f}"


def table(outcomes: Sequence[Outcome], engines: Engines) -> None:
    """Print a row per step. Rates count rows written, not rows that existed."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("kind")
    shown.add_column("store")
    for heading in ("rows", "written", "seconds", "rows/s"):
        shown.add_column(heading, justify="right")
    for one in outcomes:
        speed = rate(one.written, one.seconds) if one.written else "-"
        shown.add_row(one.kind, engines[one.role], f"{one.rows:,}", f"{one.written:,}", f"{one.seconds:.1f}", speed)
    rows, written = sum(one.rows for one in outcomes), sum(one.written for one in outcomes)
    seconds = sum(one.seconds for one in outcomes)
    shown.add_section()
    shown.add_row("all", "", f"{rows:,}", f"{written:,}", f"{seconds:.1f}", rate(written, seconds) if written else "-")
    Console().print(shown)
