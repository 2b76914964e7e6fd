"""A shop for benchmarks: people with money and products with stock, in any number of identical databases."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from msgspec import Struct
from psycopg.sql import SQL, Identifier

from app.container import Container, build
from app.http.edge.caching import JSON
from app.http.resources.orders import order_body
from app.http.resources.wallet import transfer_body
from app.ids import Ids
from app.services.commands.idempotency import Attempt, Receipt
from app.services.money.pricing import Wanted
from app.services.money.wallets import Sending
from config import Settings
from repositories.records.idempotency import Answer, RequestKey
from repositories.records.money import PROVIDER, Money, Transfer
from repositories.records.orders import Order
from repositories.records.people import Account, Login
from repositories.records.products import AttributeValue, Product
from tests.apps import PlainHasher, embedded
from tests.contracts.relational_store import new_database
from tests.engines import Server

PEOPLE, SELLERS, PRODUCTS, LINES = 500, 50, 500, 3
PLENTY = 10**12

Command = Callable[[Container], Answer]


class World(Struct, frozen=True):
    people: list[Account]
    products: list[Product]


class Shop:
    """`urls` are those of the roles other than relational. Their documents have every product."""

    def __init__(self, server: Server, directory: Path, threads: int, **urls: str) -> None:
        self._threads = threads
        self._urls = embedded(directory) | urls
        self._server = server.url
        self._template = new_database(server)
        with self._container(self._template) as container:
            container.stores.migrate()
            self.world = _furnished(container)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Yield the URL of a new copy of the shop's database, and drop it at the end."""
        name = f"bench_{uuid4().hex}"
        template = urlsplit(self._template).path[1:]
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
            try:
                yield urlsplit(self._server)._replace(path=f"/{name}").geturl()
            finally:
                connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    @contextmanager
    def opened(self) -> Iterator[Container]:
        """A container on a new database that has read all offers, like a server that has sold each product recently."""
        with self.fresh() as url, self._container(url) as container:
            container.money.offers.read([product.id for product in self.world.products])
            yield container

    @contextmanager
    def _container(self, url: str) -> Iterator[Container]:
        settings: dict[str, Any] = self._urls | {"relational_url": url}
        container = build(Settings(**settings, threads=self._threads), hasher=PlainHasher())
        try:
            yield container
        finally:
            container.close()


def answered(url: str) -> int:
    """How many commands have been completed."""
    with psycopg.connect(url) as connection:
        ((number,),) = connection.execute("SELECT count(*) FROM request_keys WHERE status = 201").fetchall()
        return int(number)


def checkouts(world: World, number: int, seed: int, *, sellers: int = SELLERS, lines: int = LINES) -> list[Command]:
    """Orders of `lines` products of one of the first `sellers` each, by people who sell nothing."""
    draw = _draw(seed)
    buyers = world.people[SELLERS:]
    return [_checkout(draw.choice(buyers).id, _basket(world, draw, sellers, lines)) for _ in range(number)]


def transfers(world: World, number: int, seed: int) -> list[Command]:
    draw = _draw(seed)
    pairs = (draw.sample(world.people, 2) for _ in range(number))
    return [_send(sender, to, draw.randint(1, 500)) for sender, to in pairs]


def _draw(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - reproducible on purpose


def _basket(world: World, draw: random.Random, sellers: int, lines: int) -> list[Wanted]:
    first = draw.randrange(sellers) * PRODUCTS // SELLERS
    offered = world.products[first : first + PRODUCTS // SELLERS]
    return [Wanted(product.id, draw.randint(1, 3)) for product in draw.sample(offered, lines)]


def _checkout(buyer: UUID, wanted: Sequence[Wanted]) -> Command:
    attempt = _attempt(buyer, "POST /api/v1/orders", str(wanted))
    receipt: Receipt[Order] = Receipt(attempt, lambda order: _answer(order_body(order)))
    return lambda container: container.money.orders.place(buyer, wanted, receipt)


def _send(sender: Account, to: Account, amount: int) -> Command:
    attempt = _attempt(sender.id, "POST /api/v1/wallet/transfers", f"{to.handle} {amount}")
    receipt: Receipt[Transfer] = Receipt(attempt, lambda made: _answer(transfer_body(made, sender.id)))
    sending = Sending(to.handle, Money(amount, "EUR"))
    return lambda container: container.money.wallets.send(sender.id, sending, receipt)


def _attempt(account_id: UUID, route: str, body: str) -> Attempt:
    return Attempt(RequestKey(account_id, route, str(uuid4())), sha256(body.encode()).digest())


def _furnished(container: Container) -> World:
    """Load accounts, products and deposits in bulk, like the seed command."""
    ids, now = Ids(), datetime.now(UTC)
    people = [Account(ids(), f"person_{n}", "Somebody", "", None, now, 1) for n in range(PEOPLE)]
    products = [_product(ids(), people[n * SELLERS // PRODUCTS].id, now) for n in range(PRODUCTS)]
    money = Money(PLENTY, "EUR")
    with container.stores.relational.transaction() as tx:
        tx.bulk.accounts([(one, Login(one.id, f"{one.handle}@example.com", "-")) for one in people], seen_at=now)
        tx.bulk.stock({product.id: PLENTY for product in products})
        tx.bulk.transfers([Transfer(ids(), "deposit", PROVIDER, one.id, money, now) for one in people])
    container.stores.documents.products.load(products)
    with container.stores.relational.transaction() as tx:
        tx.offers.settle(container.money.offers.read([product.id for product in products]).settled)
    return World(people, products)


def _product(product_id: UUID, seller: UUID, now: datetime) -> Product:
    attributes: dict[str, AttributeValue] = {"colour": "red", "weight_grams": 500}
    text = "A lamp of brass, with a shade of linen. " * 3
    return Product(product_id, seller, "Lamp", text, "home", Money(1999, "EUR"), attributes, now, now, 1)


def _answer(body: bytes) -> Answer:
    return Answer(201, {"Content-Type": JSON}, body)
