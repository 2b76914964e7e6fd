"""Random histories of a shop, compared with a model: after each step money, stock, orders and ledger must match it."""

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.services.commands.idempotency import KEPT
from app.services.money.orders import GRACE, PATIENCE
from config import Settings
from repositories.records.money import PROVIDER
from tests.apps import Person, embedded, running
from tests.shop import Clock, euros
from tests.system.money.keyed_request import KeyedRequest
from tests.system.money.model import Model, ProductStock
from tests.system.money.payments_model import DECLINED, SLOW, TIMED_OUT, Expected, Paid, Wallet

pytestmark = [pytest.mark.live, pytest.mark.long]

EXAMPLES = int(os.environ.get("QUARTET_MACHINE_EXAMPLES", "10"))
STEPS = 25
AMOUNTS = st.integers(1, 60)
# Amount and currency of a payment, and its state after the first call. Everybody has yen for one or two payouts.
YEN = 100_000
PAYMENTS = st.tuples(AMOUNTS, st.just("EUR"), st.just("approved")) | st.sampled_from(
    [(DECLINED, "JPY", "declined"), (SLOW, "JPY", "pending"), (TIMED_OUT, "JPY", "pending"), (YEN, "JPY", "approved")]
)
# The index of one of the order's sellers; None: anybody.
SELLERS = st.none() | st.integers(0, 1)


class ShopMachine(RuleBasedStateMachine):
    people: Bundle[Person] = Bundle("people")
    orders: Bundle[str] = Bundle("orders")
    asked: Bundle[KeyedRequest] = Bundle("asked")

    def __init__(self, empty: Path, folder: Path) -> None:
        super().__init__()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(empty, folder)
        self._open = ExitStack()
        self.people_by_id: dict[str, Person] = {}
        self.clock, self.model, self.keys = Clock(), Model(), (f"key-{n}" for n in itertools.count())
        self.requests: list[KeyedRequest] = []
        self.system = self._open.enter_context(running(Settings(**embedded(folder)), self.clock))

    def teardown(self) -> None:
        self._open.close()

    @initialize(target=people)
    def opens(self) -> Any:
        ada, bob, cyd = (self._person() for _ in range(3))
        for seller, price, on_hand in ((ada, 7, 5), (ada, 20, 3), (bob, 11, 4)):
            self._offer(seller, price, on_hand)
        for person in (ada, bob, cyd):
            self.deposit(person, (300, "EUR", "approved"))
        return multiple(ada, bob, cyd)

    @rule(target=people)
    def register(self) -> Person:
        return self._person()

    @rule(target=asked, person=people, wanted=PAYMENTS)
    def deposit(self, person: Person, wanted: tuple[int, str, str]) -> KeyedRequest:
        return self._payment(person, "deposit", wanted)

    @rule(target=asked, person=people, wanted=PAYMENTS)
    def pay_out(self, person: Person, wanted: tuple[int, str, str]) -> KeyedRequest:
        return self._payment(person, "payout", wanted)

    @rule(target=asked, sender=people, receiver=people, amount=AMOUNTS)
    def transfer(self, sender: Person, receiver: Person, amount: int) -> KeyedRequest:
        body = {"to": receiver.handle, "amount": euros(amount)}
        expected = lambda: self.model.transfer(_id(sender), _id(receiver), amount)  # noqa: E731
        return self._new(sender, "/wallet/transfers", body, expected)

    @rule(
        target=orders,
        buyer=people,
        lines=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=3),
        again=st.booleans(),
        paid=st.booleans(),
    )
    def order(self, buyer: Person, lines: list[tuple[int, int]], *, again: bool, paid: bool) -> Any:
        products = list(self.model.stock)
        wanted = [(products[n], quantity) for n, quantity in lines]
        body = {"lines": [{"product_id": product, "quantity": quantity} for product, quantity in wanted]}
        asked = self._new(buyer, "/orders", body, lambda: self.model.order(_id(buyer), wanted))
        if again:
            self._ask(asked)
        if paid:
            self.time_passes(late=False)
        return multiple() if asked.answer is None else asked.answer.get_json()["id"]

    @rule(target=asked, person=people, order=orders, allowed=st.booleans())
    def cancel(self, person: Person, order: str, *, allowed: bool) -> KeyedRequest:
        person = self.people_by_id[self.model.orders[order].buyer] if allowed else person
        return self._new(person, f"/orders/{order}/cancel", None, lambda: self.model.cancel(_id(person), order))

    @rule(target=asked, person=people, order=orders, of=SELLERS)
    def fulfil(self, person: Person, order: str, of: int | None) -> KeyedRequest:
        person = self._seller(order, of) or person
        expected = lambda: self.model.ship(_id(person), order, None, 200)  # noqa: E731
        return self._new(person, f"/orders/{order}/fulfil", None, expected)

    @rule(
        target=asked,
        person=people,
        order=orders,
        of=SELLERS,
        units=st.dictionaries(st.integers(1, 3), st.integers(1, 3), min_size=1, max_size=2),
    )
    def ship(self, person: Person, order: str, of: int | None, units: dict[int, int]) -> KeyedRequest:
        person = self._seller(order, of) or person
        body = {"lines": [{"number": number, "quantity": n} for number, n in units.items()]}
        expected = lambda: self.model.ship(_id(person), order, units)  # noqa: E731
        return self._new(person, f"/orders/{order}/shipments", body, expected)

    @rule(target=asked, person=people, order=orders, of=SELLERS)
    def refuse(self, person: Person, order: str, of: int | None) -> KeyedRequest:
        person = self._seller(order, of) or person
        expected = lambda: self.model.refuse(_id(person), order)  # noqa: E731
        return self._new(person, f"/orders/{order}/refuse", {}, expected)

    @rule(
        target=asked,
        person=people,
        order=orders,
        of=SELLERS,
        amount=st.none() | st.integers(1, 20),
        restock=st.none() | st.booleans(),
    )
    def refund(
        self, person: Person, order: str, of: int | None, amount: int | None, *, restock: bool | None
    ) -> KeyedRequest:
        person = self._seller(order, of) or person
        body = ({} if amount is None else {"amount": euros(amount)}) | {"restock": restock}
        expected = lambda: self.model.refund(_id(person), order, amount, restock)  # noqa: E731
        self._new(person, f"/orders/{order}/refunds", body, expected)
        return self._new(person, f"/orders/{order}/refunds", body, expected)

    @rule(asked=asked)
    def ask_again(self, asked: KeyedRequest) -> None:
        """Repeat a request: the same bytes if it had succeeded, otherwise the answer that is right now."""
        self._ask(asked)

    @rule(asked=asked)
    def ask_for_more_with_the_key(self, asked: KeyedRequest) -> None:
        if (asked.kept or asked.answer) and asked.body and not asked.path.endswith("/shipments"):
            more = asked.body | {"amount": euros(asked.body.get("amount", {"amount": 0})["amount"] + 1)}
            status, code = (409, "idempotency_key_spent") if asked.old else (422, "idempotency_key_reused")
            assert asked.person.pay(asked.path, more, status, asked.key)["code"] == code

    @rule(late=st.booleans())
    def time_passes(self, *, late: bool) -> None:
        """Let the relay settle placed orders, or with `late` cancel them, since it comes too late."""
        self._pass(PATIENCE if late else GRACE, late=late)

    @rule()
    def a_day_passes(self) -> None:
        """All stored answers expire: a repeated key then returns what it has made in its present state."""
        self._pass(KEPT + GRACE, late=True)
        for asked in self.requests:
            asked.old = True

    @invariant()
    def wallets_are_right(self) -> None:
        ledger = self.system.container.stores.relational.ledger
        totals = Counter({b.currency: b.posted for b in ledger.wallet(PROVIDER)})
        for own in self.model.wallets:
            found = {b.currency: (b.posted, b.held) for b in ledger.wallet(UUID(own))}
            for currency, wallets in (("EUR", self.model.wallets), ("JPY", self.model.payments.yen)):
                assert found.get(currency, (0, 0)) == (wallets[own].posted, wallets[own].held)
                totals[currency] += wallets[own].posted
        assert set(totals.values()) <= {0}

    @invariant()
    def payments_are_right(self) -> None:
        """The provider was asked for each payment once, and its states match the wallets."""
        stores = self.system.container.stores.relational
        far, model = self.clock.now + PATIENCE, self.model.payments
        sandbox = stores.sandbox.between(far - timedelta(days=99), far, after=None, limit=999)
        assert Counter((one.kind, one.money.amount, one.state) for one in sandbox) == model.at_the_provider()
        for own in self.model.wallets:
            listed = stores.payments.payouts(UUID(own), before=None, limit=999)
            assert [(one.money.amount, one.state) for one in listed[::-1]] == model.payouts(own)

    @invariant()
    def stock_is_right(self) -> None:
        stock = self.system.container.stores.relational.stock.levels([UUID(p) for p in self.model.stock])
        for product, kept in self.model.stock.items():
            found = stock[UUID(product)]
            assert (found.on_hand, found.reserved, found.sold) == (kept.on_hand, kept.reserved, kept.sold)

    @invariant()
    def orders_are_right(self) -> None:
        found = self.system.container.stores.relational.orders.get([UUID(order) for order in self.model.orders])
        for order_id, order in self.model.orders.items():
            stored = found[UUID(order_id)]
            parts = {str(part.seller_id): (part.state, part.refunded, part.total) for part in stored.sub_orders}
            assert parts == {own: (part.state, part.refunded, part.share) for own, part in order.parts.items()}
            assert (stored.state, stored.refunded) == (order.state, sum(part[1] for part in parts.values()))
            units = {line.number: (line.fulfilled, line.returned) for line in stored.lines}
            lines = {number: line for part in order.parts.values() for number, line in part.lines.items()}
            assert units == {number: (line.sent, line.back) for number, line in lines.items()}

    @invariant()
    def books_are_right(self) -> None:
        audit = self.system.container.stores.relational.audit
        assert [*audit.ledger(), *audit.stock()] == []

    def _seller(self, order: str, of: int | None) -> Person | None:
        """One of the order's sellers by index; None for None."""
        sellers = list(self.model.orders[order].parts)
        return None if of is None else self.people_by_id[sellers[of % len(sellers)]]

    def _person(self) -> Person:
        person = self.system.person()
        self.people_by_id[_id(person)] = person
        self.model.wallets[_id(person)], self.model.payments.yen[_id(person)] = Wallet(), Wallet()
        self.deposit(person, (YEN, "JPY", "approved"))
        return person

    def _offer(self, seller: Person, price: int, on_hand: int) -> None:
        body = {"title": "Lamp", "category": "home", "price": euros(price)}
        product = str(seller.post("/products", body)["product"]["id"])
        seller.put(f"/products/{product}/stock", {"on_hand": on_hand}, 200, etag="*")
        self.model.stock[product] = ProductStock(_id(seller), price, on_hand)

    def _payment(self, person: Person, kind: str, wanted: tuple[int, str, str]) -> KeyedRequest:
        amount, currency, _ = wanted
        key, body = next(self.keys), {"amount": {"amount": amount, "currency": currency}}
        expected = lambda: self.model.payments.ask(key, Paid(kind, _id(person), *wanted))  # noqa: E731
        return self._ask(KeyedRequest(person, f"/wallet/{kind}s", body, key, expected))

    def _new(self, person: Person, path: str, body: Any, expected: Callable[[], Expected]) -> KeyedRequest:
        return self._ask(KeyedRequest(person, path, body, next(self.keys), expected))

    def _pass(self, time: timedelta, *, late: bool) -> None:
        self.clock.now += time
        self.system.sweeper.sweep()
        self.system.relay.drain()
        self.model.payments.asked_by_the_relay()
        for order in self.model.orders.values():
            if order.state == "placed":
                (self.model.undo if late else self.model.pay)(order)

    def _ask(self, asked: KeyedRequest) -> KeyedRequest:
        self.requests.append(asked)
        asked.send()
        return asked


def test_random_histories_match_the_model(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with running(Settings(**embedded(empty))):
        pass

    class OfThisTest(ShopMachine):
        def __init__(self) -> None:
            super().__init__(empty, tmp_path / "shop")

    run_state_machine_as_test(
        OfThisTest,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="CI" in os.environ,
            database=None,
            # No shrinking: a history is short enough to be read, and shrinking takes minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def _id(person: Person) -> str:
    return str(person.account["id"])
