"""Offers: a server that remembers the prices of products, while another server changes them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.events import ProductEdited
from app.services.money import offers
from app.services.money.offers import Offers
from app.worker.sweeper import WRITTEN
from config import Settings
from repositories.errors import Unavailable
from repositories.records.money import Money
from tests.apps import Person, System, running
from tests.shop import Shop, euros
from tests.system.crowd import watched, with_stores


class Server:
    """A server on the shop's stores. `asked` are its calls to the documents; with `failing` they fail."""

    def __init__(self, shop: Shop) -> None:
        stores = shop.system.container.stores
        self.asked: list[str] = []
        self.failing = False
        self.system = System(with_stores(shop.system.container, documents=watched(stores.documents, self._note)))
        self.lamp = shop.lamp
        self.buyer = Person(self.system.app.test_client(), shop.buyer.token, shop.buyer.account)

    def order(self, status: int = 201, by: Person | None = None, **more: Any) -> Any:
        lines = {"lines": [{"product_id": self.lamp, "quantity": 1}]}
        return (by or self.buyer).pay("/orders", lines | more, status)

    def learn(self) -> None:
        """Order twice: the first order stores the offer, the second makes this process remember it."""
        for _ in range(2):
            self.order()
        self.asked.clear()

    def _note(self, call: str) -> None:
        if self.failing:
            raise Unavailable("documents")
        if call == "before products.get":
            self.asked.append(call)


@pytest.fixture
def server(shop: Shop) -> Server:
    made = Server(shop)
    made.learn()
    return made


@pytest.fixture
def other(settings: Settings, shop: Shop) -> Iterator[Person]:
    """The seller, as a client of another server."""
    with running(settings, shop.clock) as system:
        yield Person(system.app.test_client(), shop.seller.token, shop.seller.account)


def reprice(other: Person, lamp: str, amount: int) -> None:
    other.patch(f"/products/{lamp}", {"price": euros(amount)}, etag="*")


def test_a_remembered_offer_costs_no_read(server: Server) -> None:
    server.failing = True
    assert server.order()["total"] == euros(100)
    assert server.asked == []


def test_a_new_price_counts_in_other_processes_too(server: Server, shop: Shop, other: Person) -> None:
    reprice(other, shop.lamp, 120)
    assert server.order()["total"] == euros(120)
    assert server.order()["total"] == euros(120)
    server.asked.clear()
    assert server.order()["total"] == euros(120)
    assert server.asked == []


def test_expected_totals_are_compared_with_the_price_of_now(server: Server, shop: Shop, other: Person) -> None:
    reprice(other, shop.lamp, 120)
    problem = server.order(409, expected_total=euros(100))
    assert (problem["code"], problem["total"]) == ("price_changed", euros(120))
    server.learn()
    reprice(other, shop.lamp, 90)
    assert server.order(expected_total=euros(90))["total"] == euros(90)


def test_an_outdated_price_refuses_no_order(server: Server, shop: Shop, other: Person) -> None:
    poor = shop.system.person().rich(10)
    at_server = Person(server.buyer.client, poor.token, poor.account)
    assert server.order(409, by=at_server)["code"] == "insufficient_funds"
    assert server.asked == []
    reprice(other, shop.lamp, 10)
    assert server.order(by=at_server)["total"] == euros(10)


def test_a_sold_out_product_costs_no_read(server: Server, shop: Shop) -> None:
    shop.seller.put(f"/products/{shop.lamp}/stock", {"on_hand": 2}, 200, etag="*")
    assert server.order(409)["code"] == "out_of_stock"
    assert server.asked == []


def test_a_withdrawn_product_is_not_sold(server: Server, shop: Shop, other: Person) -> None:
    other.delete(f"/products/{shop.lamp}", etag="*")
    server.order(422)


def test_a_failed_conditional_change_costs_one_read(server: Server, shop: Shop, other: Person) -> None:
    tag = shop.seller.client.get(f"/api/v1/products/{shop.lamp}").headers["ETag"].strip('"')
    reprice(other, shop.lamp, 120)
    other.patch(f"/products/{shop.lamp}", {"price": euros(1)}, 412, etag=tag)
    server.learn()
    assert server.order()["total"] == euros(120)
    assert server.asked == []


def test_an_interrupted_write_is_ended_by_the_sweeper(server: Server, shop: Shop) -> None:
    """The row says that a write has begun, but the document is unchanged. Until the sweep, orders ask the documents."""
    store, lamp = shop.system.container.stores.relational, UUID(shop.lamp)
    shop.system.container.money.offers.begin(lamp, 1)
    for _ in range(2):
        assert server.order()["total"] == euros(100)
    assert len(server.asked) == 2
    shop.system.sweeper.sweep()
    assert store.offers.get([lamp])[lamp].digest is None
    shop.after(WRITTEN)
    shop.system.sweeper.sweep()
    server.order()
    server.asked.clear()
    assert server.order()["total"] == euros(100)
    assert (server.asked, shop.system.container.stores.documents.products.get([lamp])[lamp].version) == ([], 2)


def test_the_event_of_an_interrupted_write_settles_it(shop: Shop) -> None:
    """The process died after it had written the document."""
    container, lamp = shop.system.container, UUID(shop.lamp)
    reprice(shop.seller, shop.lamp, 120)
    container.money.offers.begin(lamp, 1)
    shop.system.relay.drain()
    state = container.stores.relational.offers.get([lamp])[lamp]
    assert state.digest == container.money.offers.read([lamp]).offers[lamp].digest


def test_a_change_in_the_store_itself_counts_after_a_minute(shop: Shop) -> None:
    container, lamp, now = shop.system.container, UUID(shop.lamp), [0.0]
    shop.order((shop.lamp, 1))
    stores = container.stores
    remembering = Offers(stores.relational, stores.documents, container.kit, lambda: now[0])
    remembering.read([lamp])
    product = stores.documents.products.get([lamp])[lamp]
    event = container.kit.emitter(ProductEdited(lamp, product.seller_id, ()))
    cheaper = replace(product, price=Money(1, "EUR"), version=2)
    stores.documents.products.replace(cheaper, event, if_version=1)
    assert remembering.of([lamp]).offers[lamp].price.amount == 100
    now[0] = offers.SECONDS
    found = remembering.of([lamp])
    assert (found.offers[lamp].price.amount, found.remembered) == (1, {})
    assert len(found.settled) == 1


def test_the_memory_of_offers_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "MOST", 2)
    container = shop.system.container
    products = [shop.offer(shop.seller, 5, price) for price in (1, 2, 3)]
    shop.order(*((one, 1) for one in products))
    for one in (*products, products[1]):
        container.money.offers.read([UUID(one)])
    assert set(container.money.offers.of([UUID(one) for one in products]).remembered) == {
        UUID(one) for one in products[1:]
    }
