"""A small shop for one test: a seller, a buyer with money, a clock that the test sets, and helpers for orders."""

from datetime import timedelta
from typing import Any

from app.services.money.orders import GRACE
from tests.apps import Person, System
from tests.settable_clock import Clock

__all__ = ["Clock", "Shop", "euros"]


def euros(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR"}


def money(amount: Any, currency: Any = "EUR") -> dict[str, Any]:
    """The body of a deposit or a payout; also part of the body of a transfer."""
    return {"amount": {"amount": amount, "currency": currency}}


class Shop:
    """A seller, a buyer with money, and helpers for orders."""

    def __init__(self, system: System, clock: Clock) -> None:
        self.system = system
        self.clock = clock
        self.seller = system.person("seller")
        self.buyer = system.person("buyer").rich(1000)
        self.lamp = self.offer(self.seller, 10, 100)

    def offer(self, seller: Person, on_hand: int, price: int, currency: str = "EUR") -> str:
        body = {"title": "Lamp", "category": "home", "price": {"amount": price, "currency": currency}}
        product = str(seller.post("/products", body)["product"]["id"])
        seller.put(f"/products/{product}/stock", {"on_hand": on_hand}, 200, etag="*")
        return product

    def order(self, *lines: tuple[str, int], status: int = 201, by: Person | None = None) -> Any:
        body = {"lines": [{"product_id": product, "quantity": number} for product, number in lines]}
        return (by or self.buyer).pay("/orders", body, status)

    def placed(self) -> str:
        return str(self.order((self.lamp, 2))["id"])

    def paid(self) -> str:
        order = self.placed()
        self.after(GRACE)
        return order

    def fulfilled(self) -> str:
        order = self.paid()
        self.act(order, "fulfil")
        return order

    def cancelled(self) -> str:
        order = self.placed()
        self.act(order, "cancel")
        return order

    def refunded(self) -> str:
        order = self.paid()
        self.act(order, "refund")
        return order

    def after(self, time: timedelta) -> None:
        self.clock.now += time
        self.system.sweeper.sweep()

    def act(self, order: str, move: str, status: int = 200, body: Any = None, by: Person | None = None) -> Any:
        """Move the order; returns the order after the move, or the problem."""
        person = by or (self.buyer if move == "cancel" else self.seller)
        if move != "refund":
            return person.pay(f"/orders/{order}/{move}", body, status)
        made = person.pay(f"/orders/{order}/refunds", body or {}, 201 if status == 200 else status)
        return made if status >= 400 else person.get(f"/orders/{order}")

    def state(self, order: str) -> str:
        return str(self.buyer.get(f"/orders/{order}")["state"])

    def stock(self, product: str | None = None) -> int:
        return int(self.buyer.get(f"/products/{product or self.lamp}")["stock"]["available"])

    def owned(self, person: Person | None = None) -> tuple[int, int]:
        """The posted and held amounts of the wallet."""
        (found,) = (person or self.buyer).get("/wallet")["items"]
        return found["posted"]["amount"], found["held"]["amount"]

    def audit(self) -> list[Any]:
        audit = self.system.container.stores.relational.audit
        return [*audit.ledger(), *audit.stock()]
