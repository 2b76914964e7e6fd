"""A product is changed, also by a process that dies in between, while others change and buy it, in every order of their
calls to the stores.

At every step a known offer equals the product's document, and an order that begins after a change was answered buys the
changed product.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.container import Container
from app.errors import PreconditionFailed
from app.services.commands.idempotency import Attempt, Receipt
from app.services.commands.precondition import Precondition
from app.services.content.products import ProductChanges, ProductDraft
from app.services.money.offers import offer_of
from app.services.money.pricing import Wanted
from config import Settings
from repositories.records.idempotency import Answer, RequestKey
from repositories.records.money import PROVIDER, Money, Transfer
from repositories.records.orders import Order
from tests.apps import embedded, running
from tests.contracts.transactions import do
from tests.system.crowd import people, watched, with_stores
from tests.unit.scheduler import Actor, Scheduler

# Where actors pause: before each effect that others can see, and never inside a transaction.
STEPS = {
    f"before {call}"
    for call in (
        "documents.products.get",
        "documents.products.replace",
        "documents.products.delete",
        "relational.offers.get",
        "relational.transaction",
    )
}
ANYHOW = Precondition(given=True, any=True)
OLD = 100
PAIRS = [
    ("raises", "settles"),
    ("raises", "buys"),
    ("withdraws", "settles"),
    ("withdraws", "buys"),
    ("dies_before_writing", "buys"),
    ("dies_before_writing", "ends_the_write"),
    ("dies_after_writing", "buys"),
    ("dies_after_writing", "ends_the_write"),
]
MORE = [("raises", "raises"), ("raises", "ends_the_write")]


class Killed(BaseException):
    """The death of a process at a step."""


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(2) as made:
        yield made


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path))) as system:
        yield system.container


class OfferedProduct:
    """One product, whose offer the selling server may know already (`known`). `wrong` collects violations."""

    def __init__(self, container: Container, scheduler: Scheduler, seller: UUID, buyer: UUID, *, known: bool) -> None:
        self.wrong: list[str] = []
        self.prices = {OLD}
        self.answered: int | None = OLD
        self.seller, self.buyer, self.plain, self._scheduler = seller, buyer, container, scheduler
        self.stepping = self._stepping(self._step)
        draft = ProductDraft("Lamp", "home", Money(OLD, "EUR"))
        self.product = container.content.products.offer(seller, draft).id
        do(container.stores.relational, lambda tx: tx.stock.put(self.product, 1000))
        if known:
            self.buy(container)
            self.stepping.money.offers.read([self.product])

    def raises(self) -> None:
        price = self._next()
        self.prices.add(price)
        try:
            self._price(self.stepping, price)
        except PreconditionFailed:
            return
        self.answered = price

    def withdraws(self) -> None:
        self.stepping.content.products.withdraw(self.seller, self.product, ANYHOW)
        self.answered = None

    def settles(self) -> None:
        """Store the offer, like an order that has read the document."""
        self.stepping.money.offers.settle(self.product)

    def ends_the_write(self) -> None:
        self.stepping.content.products.end_write(self.product)

    def dies_before_writing(self) -> None:
        self._dies("before documents.products.replace")

    def dies_after_writing(self) -> None:
        self._dies("after documents.products.replace")

    def buys(self) -> None:
        """Buy: the price must be the one answered before the start, or one that a concurrent change sets."""
        before = self.answered
        sold = self.buy(self.stepping)
        if sold not in {before, self.answered} and sold not in self.prices - {OLD}:
            self.wrong.append(f"sold for {sold}, but the price was {before} before and {self.answered} after")

    def _next(self) -> int:
        return OLD + len(self.prices)

    def _step(self, point: str) -> None:
        if point in STEPS:
            self.judge()
            self._scheduler.step()

    def judge(self) -> None:
        stores = self.plain.stores
        state = stores.relational.offers.get([self.product]).get(self.product)
        product = stores.documents.products.get([self.product]).get(self.product)
        if state and state.digest and (product is None or state.digest != offer_of(product).digest):
            self.wrong.append(f"the stored offer {state} differs from {product}")

    def end(self) -> None:
        """After all actors: each server sells twice at the document's price, the second time from the offer it
        remembers.
        """
        self.judge()
        product = self.plain.stores.documents.products.get([self.product]).get(self.product)
        for container in (self.plain, self.stepping, self.plain, self.stepping):
            sold = self.buy(container)
            if sold != (product and product.price.amount):
                self.wrong.append(f"finally sold for {sold}: {product}")
        self.judge()

    def buy(self, container: Container) -> int | None:
        attempt = Attempt(RequestKey(self.buyer, "POST /orders", str(uuid4())), b"")
        receipt: Receipt[Order] = Receipt(attempt, lambda order: Answer(201, {}, str(order.total.amount).encode()))
        try:
            return int(container.money.orders.place(self.buyer, [Wanted(self.product, 1)], receipt).body)
        except Exception as refused:
            if "/lines/0/product_id" not in getattr(refused, "fields", {}):
                raise
            return None

    def _dies(self, at: str) -> None:
        """Change the price by a server that dies at this point."""

        def step(point: str) -> None:
            self._step(point)
            if point == at:
                raise Killed

        price = self._next()
        self.prices.add(price)
        with suppress(Killed, PreconditionFailed):
            self._price(self._stepping(step), price)

    def _stepping(self, step: Callable[[str], None]) -> Container:
        stores = self.plain.stores
        return with_stores(
            self.plain,
            relational=watched(stores.relational, step, "relational"),
            documents=watched(stores.documents, step, "documents"),
        )

    def _price(self, container: Container, price: int) -> None:
        changes: ProductChanges = {"price": Money(price, "EUR")}
        container.content.products.edit(self.seller, self.product, changes, ANYHOW)


def markets(container: Container, scheduler: Scheduler, *acts: str) -> Iterator[OfferedProduct]:
    """One market for each order of the calls, judged at its end."""
    seller, buyer = people(container, 2)
    rich = Transfer(uuid4(), "deposit", PROVIDER, buyer, Money(10**9, "EUR"))
    do(container.stores.relational, lambda tx: tx.ledger.transfer(rich))
    made: list[OfferedProduct] = []

    def setting() -> list[Actor]:
        made.append(OfferedProduct(container, scheduler, seller, buyer, known="settles" not in acts))
        return [getattr(made[-1], act) for act in acts]

    for order in scheduler.every_order(setting):
        market = made.pop()
        market.end()
        assert market.wrong == [], order
        yield market


@pytest.mark.parametrize("acts", PAIRS, ids="-".join)
def test_no_interleaving_of_two_acts_corrupts_an_offer(
    container: Container, scheduler: Scheduler, acts: tuple[str, ...]
) -> None:
    assert sum(1 for _ in markets(container, scheduler, *acts)) > 4


@pytest.mark.long
@pytest.mark.proof
@pytest.mark.parametrize("acts", MORE, ids="-".join)
def test_no_interleaving_of_two_longer_acts_corrupts_an_offer(
    container: Container, scheduler: Scheduler, acts: tuple[str, ...]
) -> None:
    assert sum(1 for _ in markets(container, scheduler, *acts)) > 50
