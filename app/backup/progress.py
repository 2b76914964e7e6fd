"""Progress output of a dump or a restore: a line per kind of record, and more during a long one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import click

from app.backup.file import End
from app.seed.report import EVERY_SECONDS, rate

R = TypeVar("R")
SHOWN = 16  # digits of a digest that are printed


class KindRates:
    """Prints counts and rates. `engines` names the engine of each role."""

    def __init__(self, engines: Mapping[str, str]) -> None:
        self._engines = engines
        self._began = self._start = self._said = time.monotonic()
        self._records = 0

    def counted(self, kind: str, batches: Iterator[Sequence[R]]) -> Iterator[Sequence[R]]:
        self._start = self._said = time.monotonic()
        done = 0
        for batch in batches:
            yield batch
            done += len(batch)
            now = time.monotonic()
            if now - self._said >= EVERY_SECONDS:
                self._said = now
                click.echo(f"  {kind}: {done:,} records, {rate(done, now - self._start)} records/s")

    def ended(self, role: str, end: End) -> None:
        seconds = time.monotonic() - self._start
        self._records += end.records
        speed = rate(end.records, seconds)
        click.echo(
            f"{end.kind}: {end.records:,} records, {seconds:.1f} s, {speed} records/s, {self._engines[role]},"
            f" sha256 {end.digest[:SHOWN]}"
        )

    def all(self, done: str) -> None:
        seconds = time.monotonic() - self._began
        speed = rate(self._records, seconds)
        click.echo(f"{self._records:,} records {done} in {seconds:.1f} s, {speed} records/s")
