"""Measures the audit of a large ledger: everything, making an anchor, and what came since it; see README.md."""

import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click

from app.container import Container, build
from app.doctor.ledger import audited
from app.services.money.anchors import Anchors
from config import Settings
from repositories.records.money import PROVIDER, Money, Transfer
from repositories.records.orders import Order, OrderLine, SubOrder
from tests.apps import PlainHasher, embedded
from tests.contracts.relational_store import new_database
from tests.engines import Engines

PEOPLE, BATCH, LATER, PRICE = 1000, 5000, 10_000, 7
PLENTY = 10**12
START = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@click.command()
@click.option("--entries", default=1_000_000, show_default=True, help="In the ledger; a tenth of them pay orders.")
@click.argument("engines", nargs=-1)
def main(*, entries: int, engines: tuple[str, ...]) -> None:
    servers = Engines()
    try:
        for engine in engines or ("embedded", "postgres"):
            with tempfile.TemporaryDirectory() as folder:
                urls: dict[str, Any] = embedded(Path(folder)) | {"anchor_folder": f"{folder}/anchors"}
                if engine == "postgres":
                    urls |= {"relational_url": new_database(servers.postgres()), "relational_timeout": 10.0}
                container = build(Settings(**urls), hasher=PlainHasher())
                container.stores.migrate()
                measure(engine, container, entries)
                container.close()
    finally:
        servers.close()


def measure(engine: str, container: Container, entries: int) -> None:
    draw = random.Random(7)  # noqa: S311 - reproducible on purpose
    people = [uuid4() for _ in range(PEOPLE)]
    bulk(container, [Transfer(uuid4(), "deposit", PROVIDER, one, Money(PLENTY, "EUR"), START) for one in people])
    seconds, _ = timed(lambda: load(container, draw, people, entries // 2))
    click.echo(f"{engine}: {entries} entries loaded in {seconds:.0f} s")
    audit, anchors = container.stores.relational.audit, container.money.anchors
    for what, work in (
        ("money", lambda: list(audit.ledger())),
        ("orders and stock", lambda: list(audit.stock())),
        ("an anchor, the first", lambda: anchored(anchors)),
        ("everything since it: nothing", lambda: list(audited(audit, anchors.last(), whole=False))),
    ):
        say(engine, what, entries, work)
    load(container, draw, people, LATER // 2)
    say(engine, "what came since", LATER, lambda: list(audited(audit, anchors.last(), whole=False)))


def anchored(anchors: Anchors) -> list[Any]:
    anchors.make()
    return []


def say(engine: str, what: str, entries: int, work: Callable[[], list[Any]]) -> None:
    spent = time.process_time()
    seconds, found = timed(work)
    spent = time.process_time() - spent
    assert found == []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate = f"{entries / seconds:.0f} entries/s"
    click.echo(f"{engine}: {what}: {seconds:.1f} s, {spent:.1f} s of this processor time here, {rate}, peak {peak} MB")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    found = work()
    return time.monotonic() - began, found


def load(container: Container, draw: random.Random, people: list[UUID], count: int) -> None:
    for start in range(0, count, BATCH):
        at = START + timedelta(seconds=1) + start * MICROSECOND
        made = [_transfer(draw, people, at + n * MICROSECOND) for n in range(min(BATCH, count - start))]
        orders = [_order(one) for one in made if one.order_id]
        with container.stores.relational.transaction() as tx:
            tx.bulk.orders(orders)
        bulk(container, made)


def bulk(container: Container, made: list[Transfer]) -> None:
    with container.stores.relational.transaction() as tx:
        tx.bulk.transfers(made)


def _transfer(draw: random.Random, people: list[UUID], at: datetime) -> Transfer:
    debit, credit = draw.sample(people, 2)
    if draw.random() < 0.9:
        return Transfer(uuid4(), "transfer", debit, credit, Money(draw.randint(1, 100), "EUR"), at)
    return Transfer(uuid4(), "order", debit, credit, Money(PRICE, "EUR"), at, uuid4())


def _order(paid: Transfer) -> Order:
    assert paid.order_id is not None
    lines = (OrderLine(uuid4(), 1, "Lamp", paid.credit, PRICE, 1, 1),)
    at = paid.created_at
    parts = (SubOrder(paid.credit, PRICE, "paid", 2, moved_at=at, paid_at=at),)
    return Order(paid.order_id, paid.debit, paid.amount, lines, at, "paid", version=2, moved_at=at, sub_orders=parts)


if __name__ == "__main__":
    main()
