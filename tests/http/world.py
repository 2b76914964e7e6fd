"""A system for tests that call every route, and the people in it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.clock import utc_now
from app.services.money.orders import GRACE
from tests.apps import Person, System
from tests.settable_clock import Clock

EUR = {"amount": 100, "currency": "EUR"}
LAMP = {"title": "Lamp", "category": "home", "price": EUR, "attributes": {"colour": "red", "socket": "E27"}}


class ShiftedClock(Clock):
    """The real time, which a test may advance."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    @property
    def ahead(self) -> timedelta:
        return self._ahead

    @ahead.setter
    def ahead(self, by: timedelta) -> None:
        self.now += by - self._ahead
        self._ahead = by


@dataclass
class Call:
    """One request. With `keyed` it has an idempotency key, which costs a claim and storing the answer."""

    who: Person
    path: str
    body: Any = None
    keyed: bool = False
    etag: str | None = None
    query: dict[str, Any] = field(default_factory=dict)


class World:
    """A system, and people in it who are used repeatedly."""

    def __init__(self, system: System, clock: ShiftedClock, *, real: bool) -> None:
        self.system = system
        self.real = real
        self.clock = clock
        self.crowd: list[Person] = []

    def people(self, count: int) -> list[Person]:
        while len(self.crowd) < count:
            self.crowd.append(self.system.person())
        return self.crowd[:count]

    def person(self) -> Person:
        return self.system.person()

    def drained(self) -> None:
        """Let the relay dispatch everything."""
        while self.system.relay.drain():
            pass

    def forget_events(self) -> None:
        """Acknowledge the events of earlier calls without handling them, so that `drained` only handles later ones."""
        stores, now = self.system.container.stores, self.clock()
        for outbox in (stores.relational.outbox, stores.documents.outbox):
            due = outbox.now() or now
            while claims := outbox.claim(now=due, lease_until=due + timedelta(minutes=1), limit=500):
                outbox.acknowledge(claims)

    def lamp(self, seller: Person, on_hand: int = 1000) -> str:
        lamp = str(seller.post("/products", LAMP)["product"]["id"])
        seller.put(f"/products/{lamp}/stock", {"on_hand": on_hand}, 200, etag="*")
        return lamp

    def order(self, lines: int = 1, *, paid: bool = False, others: int = 0) -> tuple[Person, Person, str]:
        """An order: its buyer, its seller and its id. `others` is the number of further sellers, with one line each."""
        seller, buyer = self.person(), self.person().rich()
        sellers = [seller] * lines + [self.person() for _ in range(others)]
        wanted = [{"product_id": self.lamp(one), "quantity": 1} for one in sellers]
        order = str(buyer.pay("/orders", {"lines": wanted})["id"])
        if paid:
            self.clock.ahead += GRACE
            self.system.sweeper.sweep()
        return buyer, seller, order
