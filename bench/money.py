"""Measures checkouts and transfers per second, next to the same SQL sent directly; see README.md."""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import click
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import hot
from bench.recording import Bare, Script, recorded, without_outbox
from bench.shop import Command, Shop, World, answered, checkouts, transfers
from repositories.relational.postgres.store import PostgresRelational
from repositories.relational.transaction import SqlTransaction
from tests.engines import Engines

T = TypeVar("T")
QUARTET, BARE = "Quartet", "bare SQL"
WITHOUT_OUTBOX = ", no outbox row"
WARM_UP = 25
Kind = Callable[[World, int, int], list[Command]]
Variant = Callable[["Round"], "Figure"]


class Plan(Struct, frozen=True):
    rounds: int
    threads: int
    commands: int


class Figure(Struct, frozen=True):
    """`rate` is commands per second. `busy` is the CPU time of this process (the client) per command, in ms."""

    rate: float
    busy: float


Figures = dict[str, list[Figure]]


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True, help="Each measures everything once, in turn.")
@click.option("--threads", default=4, show_default=True)
@click.option("--commands", default=1000, show_default=True, help="Of one measurement.")
@click.option("--catalogue", type=click.Choice(["embedded", "mongo"]), default="embedded", show_default=True)
@click.option("--buyers", default=0, help="Instead: orders of one seller beside those of many, by so many at once.")
def main(rounds: int, threads: int, commands: int, catalogue: str, buyers: int) -> None:
    plan, engines = Plan(rounds, threads, commands), Engines()
    try:
        with tempfile.TemporaryDirectory() as directory:
            urls = {"documents_url": engines.mongo().url} if catalogue == "mongo" else {}
            shop = Shop(engines.postgres(), Path(directory), max(threads, buyers + 1), **urls)
            if buyers:
                hot.run(shop, rounds, buyers, commands)
                return
            click.echo(f"{threads} threads, {commands} commands, {rounds} rounds, catalogue: {catalogue}")
            _report("checkouts", _measured(shop, checkouts, plan, OUTBOX_VARIANTS))
            _report("transfers", _measured(shop, transfers, plan, VARIANTS))
    finally:
        engines.close()


class Round:
    """Runs the same commands in every variant, each in a new database."""

    def __init__(self, shop: Shop, commands: Sequence[Command], plan: Plan) -> None:
        self._shop = shop
        self._commands = commands
        self._scripts = _scripts(shop, commands)
        self._plan = plan

    def quartet(self) -> Figure:
        with self._shop.opened() as container:
            return _timed(self._plan, self._commands, lambda: lambda command: command(container))

    def quartet_without_outbox(self) -> Figure:
        with patch.object(SqlTransaction, "emit", lambda *_: None):
            return self.quartet()

    def bare(self) -> Figure:
        return self._replayed(self._scripts)

    def bare_without_outbox(self) -> Figure:
        return self._replayed(without_outbox(self._scripts))

    def _replayed(self, scripts: Sequence[Script]) -> Figure:
        with self._shop.fresh() as url, _clients(url) as client:
            figure = _timed(self._plan, scripts, client)
            assert answered(url) == len(scripts)
            return figure


VARIANTS: Mapping[str, Variant] = {QUARTET: Round.quartet, BARE: Round.bare}
OUTBOX_VARIANTS: Mapping[str, Variant] = {
    **VARIANTS,
    QUARTET + WITHOUT_OUTBOX: Round.quartet_without_outbox,
    BARE + WITHOUT_OUTBOX: Round.bare_without_outbox,
}


def _measured(shop: Shop, kind: Kind, plan: Plan, variants: Mapping[str, Variant]) -> Figures:
    """Measure all variants in every round. Each round has its own commands and starts with a different variant."""
    figures: Figures = {name: [] for name in variants}
    for number in range(plan.rounds):
        this = Round(shop, kind(shop.world, plan.commands + plan.threads * WARM_UP, number), plan)
        names = list(variants)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            figures[name].append(variants[name](this))
        shown = ", ".join(f"{name} {figures[name][-1].rate:.0f}/s" for name in names)
        click.echo(f"  round {number + 1}: {shown}; load {os.getloadavg()[0]:.1f}")
    return figures


def _scripts(shop: Shop, commands: Sequence[Command]) -> list[Script]:
    """Record the SQL of each command, by running them one after another in a new database."""
    with shop.opened() as container:
        store = container.stores.relational
        assert isinstance(store, PostgresRelational)
        commands[0](container)
        with recorded(store) as take:
            return [script for command in commands[1:] for script in [(command(container), take())[1]]]


@contextmanager
def _clients(url: str) -> Iterator[Callable[[], Bare]]:
    """Yield a function that opens a client for the calling thread. All are closed at the end."""
    opened: list[Bare] = []

    def client() -> Bare:
        opened.append(Bare(url))
        return opened[-1]

    try:
        yield client
    finally:
        for one in opened:
            one.close()


def _timed(plan: Plan, todo: Sequence[T], worker: Callable[[], Callable[[T], object]]) -> Figure:
    """Run the commands in all threads. Each thread warms up first: it connects and prepares its statements."""
    queue, ready = iter(todo), threading.Barrier(plan.threads + 1)

    def work() -> int:
        run, done = worker(), 0
        try:
            for _ in range(WARM_UP):
                run(next(queue))
        except BaseException:
            ready.abort()  # otherwise the others would wait forever
            raise
        ready.wait()
        for one in queue:
            run(one)
            done += 1
        return done

    with ThreadPoolExecutor(plan.threads) as pool:
        running = [pool.submit(work) for _ in range(plan.threads)]
        with suppress(threading.BrokenBarrierError):
            ready.wait()
        started, used = time.perf_counter(), time.process_time()
        done = sum(one.result() for one in running)
        seconds, busy = time.perf_counter() - started, time.process_time() - used
    return Figure(done / seconds, busy / done * 1000)


def _report(kind: str, figures: Figures) -> None:
    shown = Table("", "median/s", "from", "to", "of bare", "of with row", "client ms", title=kind)
    for name, found in figures.items():
        rates = [figure.rate for figure in found]
        suffix = WITHOUT_OUTBOX if name.endswith(WITHOUT_OUTBOX) else ""
        relative = _ratio(found, figures[name.removesuffix(WITHOUT_OUTBOX)]) if suffix else ""
        spread = (f"{rate:,.0f}" for rate in (statistics.median(rates), min(rates), max(rates)))
        busy = f"{statistics.median(figure.busy for figure in found):.2f}"
        shown.add_row(name, *spread, _ratio(found, figures[BARE + suffix]), relative, busy)
    Console().print(shown)


def _ratio(some: Sequence[Figure], others: Sequence[Figure]) -> str:
    """The median of the ratios per round, since the load on the machine is about the same within a round."""
    return f"{statistics.median(a.rate / b.rate for a, b in zip(some, others, strict=True)):.0%}"


if __name__ == "__main__":
    main()
