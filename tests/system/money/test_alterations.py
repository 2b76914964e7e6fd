"""The audit finds every kind of alteration of the money tables, except those listed here with a reason."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from app.doctor import ledger as doctor
from app.services.money.orders import GRACE, PATIENCE
from repositories.driver_statements import Direct
from repositories.records.money import Finding
from repositories.relational import RelationalStore
from repositories.relational.audit import increment
from repositories.relational.audit import orders as audited
from repositories.relational.audit.whole import SqlAudit
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.money.digests import chain
from repositories.relational.money.order_chain import opening, stated
from repositories.relational.schema.order_tables import order_lines, sub_orders
from repositories.relational.work import Work
from tests.contracts.money import without_triggers
from tests.contracts.transactions import engine_of, together
from tests.shop import Shop, euros
from tests.system.money.alterations import Alteration, Book, money
from tests.system.money.full_shop import fill

# The number of rows of each shape. 0 is the short form, which tries one row and one value for each kind.
EACH = int(os.environ.get("QUARTET_ALTERATIONS_ROWS", "0"))
# The ledger grows meanwhile, so twice as many rounds take four times as long.
ROUNDS = 50 if EACH else 10
# How often a kind is tried.
MOST = 1000 if EACH else 1
# On PostgreSQL only every n-th kind is tried.
EVERY = 1 if EACH else 20

# Tables that are exempt, and why.
NO_BOOKS = {"request_keys": "answers that are kept for a day to be replayed; what a key has made is found by its id"}


@pytest.fixture
def books(shop: Shop) -> RelationalStore:
    fill(shop)
    shop.system.container.money.anchors.note_heads()
    shop.placed()
    assert shop.audit() == []
    store = shop.system.container.stores.relational
    without_triggers(store)
    return store


def test_the_tables_listed_as_no_books_are_money_tables() -> None:
    assert set(NO_BOOKS) <= set(money())


def test_the_audit_and_the_service_agree_on_the_times_of_orders() -> None:
    assert (audited.GRACE, audited.PATIENCE) == (GRACE, PATIENCE)


def test_finds_every_alteration(books: RelationalStore) -> None:
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
    assert not missed, "\n".join(f"{kind}: {about}" for kind, about in missed.items())
    for table in book.tables:
        assert book.rows[table.name], f"{table.name} has no rows: let tests/system/money/full_shop.py make some"
        if isinstance(books, EmbeddedRelational):  # where the checks of the database are turned off
            assert {f"{table.name}.{column.name} altered" for column in table.columns} <= set(tried)


def test_an_order_that_was_rewritten_with_its_chain_is_found(books: RelationalStore) -> None:
    """The digests of its transfers include the order's head at the time of each transfer."""
    with engine_of(books).begin() as connection:
        part = connection.execute(
            select(sub_orders).where(sub_orders.c.state == "cancelled", sub_orders.c.total > 0)
        ).first()
        assert part is not None
        its = (order_lines.c.order_id == part.order_id) & (order_lines.c.seller_id == part.seller_id)
        connection.execute(update(order_lines).where(its).values(title="Another lamp"))
        lines = connection.execute(select(order_lines).where(its).order_by(order_lines.c.number)).all()
        head = opening(part.order_id, part.buyer_id, part.seller_id, part.currency, part.created_at, lines)
        for step in stated(part):
            head = chain(head, step)
        this = (sub_orders.c.order_id == part.order_id) & (sub_orders.c.seller_id == part.seller_id)
        connection.execute(update(sub_orders).where(this).values(head=head))
    found = list(books.audit.stock())
    assert {one.about for one in found} == {f"order {part.order_id}"}
    assert any("was made when" in one.problem for one in found)


def test_concurrent_traffic_causes_no_alarm(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders, refunds and transfers in two threads, while the audit runs repeatedly."""
    fill(shop)
    # Accounts with more new entries than this are read separately.
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
        """Make an anchor, which fails if something is wrong; then audit everything, and then only what came after the
        anchor.
        """
        anchor = anchors.make()
        for whole in (True, False):
            yield from doctor.audited(audit, anchor, whole=whole)

    anchors, audit = shop.system.container.money.anchors, shop.system.container.stores.relational.audit
    shop.buyer.rich(10**9)
    shop.seller.rich(10**6)
    assert together([trade, send, audited])[2] == []


def _some(everything: Iterable[Alteration], every: int) -> Iterator[Alteration]:
    kinds: dict[str, int] = {}
    return (one for one in everything if kinds.setdefault(one.kind, len(kinds)) % every == 0)


@contextmanager
def altering(store: RelationalStore) -> Iterator[Connection]:
    """A connection that does not enforce foreign keys, and in SQLite no check constraints."""
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
    """The audit's first finding after an alteration, which is rolled back. None if the database refuses it."""
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
