"""The audit finds every kind of alteration of the money tables, but those that are listed with a reason."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.doctor import ledger as doctor
from app.services.money.orders import GRACE, PATIENCE
from repositories.money_records import Finding
from repositories.relational import Relational
from repositories.relational.audit import increment
from repositories.relational.audit import orders as audited
from repositories.relational.audit.whole import SqlAudit
from repositories.relational.direct import Direct
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.statement_runner import Work
from tests.contracts.money import engine_of, together, without_triggers
from tests.shop import Shop, euros
from tests.system.money.alterations import Alteration, Book, money
from tests.system.money.full_shop import fill

# Rows of each shape, and whether every value is tried or one for each kind.
EACH = int(os.environ.get("QUARTET_ALTERATIONS_ROWS", "0"))
ROUNDS = 200 if EACH else 10
# How often a kind is tried.
MOST = 1000 if EACH else 2
# Of the kinds, how many are tried on PostgreSQL.
EVERY = 1 if EACH else 20

# Tables that are no books, and why.
NO_BOOKS = {"request_keys": "answers that are kept for a day to be replayed; what a key has made is found by its id"}

# What is not found, and why. docs/money.md says the same to people.
UNFOUND = {
    "shipments.reference altered": "words of a seller that are written nowhere else",
    "shipments.reference swapped": "words of a seller that are written nowhere else",
    "order_lines.product_version altered": "the catalogue keeps no former versions",
    "order_lines.title altered": "the catalogue keeps no former versions",
    "refunds.reason altered": "words of a seller that are written nowhere else",
    "refunds.reason swapped": "words of a seller that are written nowhere else",
    "sub_orders.reason altered": "why a part was refused before it was paid: written nowhere else",
    "sub_orders.reason and refunds.reason altered": "as either alone",
    "sub_orders.ended_by altered": "which request cancelled a part, or refused it unpaid, is written nowhere else",
    "shipments.reference and refunds.reason altered": "as either alone",
    "shipments.id and shipment_lines.shipment_id altered": "what a shipment is called is written nowhere else",
    "stock.version altered": "a tag that counts changes, of which no list is kept",
    "stock.on_hand and received altered": "as if the seller had put more units in stock",
    "order_lines.product_version and stock.version altered": "as either alone",
}


@pytest.fixture
def books(shop: Shop) -> Relational:
    fill(shop)
    assert shop.audit() == []
    store = shop.system.container.stores.relational
    without_triggers(store)
    return store


def test_every_table_is_altered() -> None:
    assert set(NO_BOOKS) <= set(money())


def test_the_times_of_orders_are_those_of_the_service() -> None:
    assert (audited.GRACE, audited.PATIENCE) == (GRACE, PATIENCE)


def test_finds_every_alteration(books: Relational) -> None:
    tried: Counter[str] = Counter()
    missed: dict[str, Any] = {}
    with altering(books) as connection:
        book = Book(connection, set(NO_BOOKS), max(1, EACH))
        connection.rollback()
        for one in _some(book.everything(), 1 if isinstance(books, EmbeddedRelational) else EVERY):
            if tried[one.kind] < MOST and (found := findings(connection, one)) is not None:
                tried[one.kind] += 1
                if not found:
                    missed.setdefault(one.kind, one.about)
    new = sorted(missed.keys() - UNFOUND.keys() - UNCHAINED.keys() - PARTLY.keys())
    assert not new, f"{new}\n{missed[new[0]]}"
    for table in book.tables:
        assert book.rows[table.name], f"{table.name} has no rows: let tests/system/money/full_shop.py make some"
        if isinstance(books, EmbeddedRelational):  # where no check of the database is in the way
            assert {f"{table.name}.{column.name} altered" for column in table.columns} <= set(tried)
            assert set(UNFOUND) <= set(missed if EACH else tried), "listed, and found"


def test_traffic_beside_it_causes_no_alarm(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders, refunds and transfers in two threads, while everything is read again and again."""
    fill(shop)
    # Accounts with more new entries than that are read each by itself.
    monkeypatch.setattr(increment, "BATCH", 5)
    over = threading.Event()

    def trade() -> None:
        while not over.is_set():
            for move in ("cancel", "refund", "fulfil"):
                order = shop.placed() if move == "cancel" else shop.paid()
                shop.act(order, move)
                shop.seller.put(f"/products/{shop.lamp}/stock", {"on_hand": 50}, 200, etag="*")

    def send() -> None:
        while not over.is_set():
            shop.seller.pay("/wallet/transfers", {"to": "other", "amount": euros(1)})

    def audited() -> list[Any]:
        try:
            return [finding for _ in range(ROUNDS) for finding in (*shop.audit(), *against_anchor())]
        finally:
            over.set()

    def against_anchor() -> Iterator[Finding]:
        """All of it, then what came since; and the next anchor, which refuses to be made where something is wrong."""
        anchor = anchors.make()
        for whole in (True, False):
            yield from doctor.audited(audit, anchor, whole=whole)

    anchors, audit = shop.system.container.money.anchors, shop.system.container.stores.relational.audit
    shop.buyer.rich(10**9)
    shop.seller.rich(10**6)
    assert together([trade, send, audited])[2] == []


NO_CHAIN = "holds, and ends of holds that free money, move nothing: no account's chain has them"
UNCHAINED = {
    **{f"{phase}.created_at altered with its digest": NO_CHAIN for phase in ("hold", "void", "expire")},
    **{f"{phase}.id altered with its digest": NO_CHAIN for phase in ("void", "expire")},
    **{f"{phase}.phase altered with its digest": NO_CHAIN for phase in ("void", "expire")},
    **{f"hold.{name} altered with its digest": NO_CHAIN for name in ("amount", "expires_at")},
}
# Found in most rows, and not in some.
PARTLY = {
    "shipments.created_at altered": "of one that is not the last step of its part",
    "shipments.created_at swapped": "as altered",
    "sub_orders.moved_at altered": "to the time of another step",
    "sub_orders.ended_by swapped": "as altered",
    "sub_orders.ended_by and sub_orders.ended_by altered": "as either alone",
    "order_lines.product_id swapped": "of parts that were never paid: their reservations are gone",
    "order_lines.title and order_lines.title altered": "as either alone",
    "stock.version swapped": "as altered",
    "refunds.reason and refunds.reason altered": "but for that of a part that was refused, which has it too",
}


def _some(everything: Iterable[Alteration], every: int) -> Iterator[Alteration]:
    kinds: dict[str, int] = {}
    return (one for one in everything if kinds.setdefault(one.kind, len(kinds)) % every == 0)


@contextmanager
def altering(store: Relational) -> Iterator[Connection]:
    """A connection that checks no foreign key; in SQLite, no condition either."""
    with engine_of(store).connect() as connection:
        if isinstance(store, EmbeddedRelational):
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA foreign_keys=OFF")
            raw.execute("PRAGMA ignore_check_constraints=ON")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
            connection.commit()
        yield connection


def findings(connection: Connection, alteration: Alteration) -> list[Finding] | None:
    """The first that the audit says after it, which is undone again. None where the database refuses it."""
    with connection.begin() as transaction:
        try:
            for statement in alteration.statements:
                connection.execute(statement)
            audit = SqlAudit(lambda: nullcontext(Work(connection, Direct(connection.engine), nullcontext)))
            parts = (audit.ledger, audit.stock) if alteration.kind[0] in "let" else (audit.stock, audit.ledger)
            return list(itertools.islice(itertools.chain.from_iterable(part() for part in parts), 1))
        except IntegrityError:
            return None
        finally:
            transaction.rollback()
