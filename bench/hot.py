"""Measures a hot account: orders from one seller next to orders from many, placed concurrently and paid by a relay."""

import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from uuid import UUID

import click
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from app.container import Container
from app.errors import AppError
from bench.shop import SELLERS, Command, Shop, checkouts
from repositories.errors import StoreError

COUNTS = (1, SELLERS)


class Sold(Struct, frozen=True):
    """`rate` is orders placed and paid per second; `lost` counts the failed ones by error."""

    rate: float
    lost: Counter[str]


def run(shop: Shop, rounds: int, buyers: int, orders: int) -> None:
    found: dict[int, list[Sold]] = {count: [] for count in COUNTS}
    for number in range(rounds):
        for count in COUNTS if number % 2 else COUNTS[::-1]:
            with shop.opened() as container:
                found[count].append(
                    _sold(container, checkouts(shop.world, orders, number, sellers=count, lines=1), buyers)
                )
        shown = ", ".join(f"{count} sellers {found[count][-1].rate:.0f}/s" for count in COUNTS)
        click.echo(f"  round {number + 1}: {shown}; load {os.getloadavg()[0]:.1f}")
    _report(found, buyers)


def _sold(container: Container, todo: Sequence[Command], buyers: int) -> Sold:
    """Place the orders in `buyers` threads and pay them in one more. Each thread first opens its connection."""
    placed: SimpleQueue[UUID | None] = SimpleQueue()
    commands: SimpleQueue[Command | None] = SimpleQueue()
    for each in [*todo, *[None] * buyers]:
        commands.put(each)
    connected, lost = threading.Barrier(buyers + 2), Counter[str]()

    def begin() -> None:
        with container.stores.relational.transaction() as tx:
            tx.now()
            connected.wait()

    def buy() -> None:
        begin()
        while (command := commands.get()) is not None:
            try:
                placed.put(UUID(json.loads(command(container).body)["id"]))
            except (AppError, StoreError) as error:
                lost[f"placing: {type(error).__name__}"] += 1

    def pay() -> int:
        begin()
        paid = 0
        while (order := placed.get()) is not None:
            try:
                paid += container.money.settlement.settle(order).state == "paid"
            except (AppError, StoreError) as error:
                lost[f"paying: {type(error).__name__}"] += 1
        return paid

    with ThreadPoolExecutor(buyers + 1) as pool:
        relay, others = pool.submit(pay), [pool.submit(buy) for _ in range(buyers)]
        connected.wait()
        started = time.perf_counter()
        try:
            for one in others:
                one.result()
        finally:
            # Stop the paying thread even if a buyer failed; otherwise the pool would never end, nor the error show.
            placed.put(None)
        return Sold(relay.result() / (time.perf_counter() - started), lost)


def _report(found: dict[int, list[Sold]], buyers: int) -> None:
    shown = Table("sellers", "median/s", "from", "to", "of many", "lost", title=f"{buyers} buyers at once")
    for count, each in found.items():
        rates = [one.rate for one in each]
        spread = (f"{rate:,.0f}" for rate in (statistics.median(rates), min(rates), max(rates)))
        pairs = zip(each, found[SELLERS], strict=True)
        ratio = f"{statistics.median(one.rate / many.rate for one, many in pairs):.0%}"
        lost = sum((one.lost for one in each), Counter[str]())
        shown.add_row(str(count), *spread, ratio, ", ".join(f"{n} {why}" for why, n in lost.items()) or "0")
    Console().print(shown)
