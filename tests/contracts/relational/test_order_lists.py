"""The contract of orders: lists of orders."""

import itertools
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from repositories.records.graph import TimeCursor
from repositories.records.order_filter import OrderFilter
from repositories.records.orders import Order, SubOrderState
from repositories.relational import RelationalStore
from repositories.relational.schema.order_tables import orders
from tests.contracts.money import line, order
from tests.contracts.relational.order_steps import STATES, add, in_state, move, ship
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, SECOND, do, sql


class TestLists:
    def test_of_buyer_and_of_seller(self, store: RelationalStore) -> None:
        buyer, seller = uuid4(), uuid4()
        times = [NOW, NOW + MICROSECOND, NOW, NOW - SECOND, NOW]
        made = [
            add(
                store,
                order(line(uuid4()), *(line(uuid4(), seller_id=seller),) * 2, buyer_id=buyer, created_at=at),
            )
            for at in times
        ]
        add(store, order(buyer_id=uuid4()))
        newest = sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
        for listing, key in ((store.orders.of_buyer, buyer), (store.orders.of_seller, seller)):
            assert listing(key, before=None, limit=99) == newest
            first = listing(key, before=None, limit=2)
            add(store, order(buyer_id=buyer, created_at=NOW + SECOND))
            mark = TimeCursor(first[-1].created_at, first[-1].id)
            assert first + listing(key, before=mark, limit=99) == newest
            assert listing(key, before=TimeCursor(newest[-1].created_at, newest[-1].id), limit=9) == []
            assert listing(uuid4(), before=None, limit=9) == listing(key, before=None, limit=0) == []
            made_now = store.orders.of_buyer(buyer, before=None, limit=1)
            sql(store, update(orders).where(orders.c.id == made_now[0].id).values(buyer_id=uuid4()))

    def test_stuck(self, store: RelationalStore) -> None:
        due = NOW - 99 * SECOND
        late, soon = (add(store, order(due_at=due + turn * MICROSECOND)) for turn in (1, 0))
        assert store.orders.stuck(now=due - MICROSECOND, limit=9) == []
        assert store.orders.stuck(now=due, limit=9) == [soon]
        assert store.orders.stuck(now=NOW, limit=9)[:2] == [soon, late]
        assert store.orders.stuck(now=NOW, limit=1) == [soon]
        move(store, late, "cancelled")
        assert store.orders.stuck(now=due + SECOND, limit=9) == [soon]
        move(store, soon, "paid")
        assert store.orders.stuck(now=due + SECOND, limit=9) == []

    @pytest.mark.parametrize("state", STATES)
    def test_unfinished(self, store: RelationalStore, state: SubOrderState) -> None:
        one = in_state(store, state)
        (seller,) = {line.seller_id for line in one.lines}
        found = do(store, lambda unit: unit.orders.unfinished_of(seller, limit=9))
        assert found == ([one.id] if state in {"placed", "paid", "partly_fulfilled"} else [])
        assert do(store, lambda unit: unit.orders.unfinished_of(seller, limit=0)) == []
        assert do(store, lambda unit: unit.orders.unfinished_of(one.buyer_id, limit=9)) == []


class TestFilters:
    def test_every_choice_alone_and_together(self, store: RelationalStore) -> None:
        """The pages of the buyer and of a seller are compared with a filter in Python."""
        buyer, ada, bob = uuid4(), uuid4(), uuid4()
        lamps, vases = uuid4(), uuid4()
        lines = {lamps: line(lamps, seller_id=ada), vases: line(vases, seller_id=bob)}
        for turn, products in enumerate([(lamps,), (vases,), (lamps, vases), (lamps, lamps), (vases, lamps)] * 2):
            currency = "USD" if turn % 3 == 0 else "EUR"
            made = order(*(lines[one] for one in products), buyer_id=buyer, created_at=NOW + turn * SECOND)
            add(store, replace(made, total=replace(made.total, currency=currency)))
            if turn % 2:
                move(store, made, "paid")
                ship(store, made, made.lines[0].seller_id)
        everything = store.orders.of_buyer(buyer, before=None, limit=99)
        asked: dict[str, Any] = {"state": "paid", "currency": "EUR", "product_id": lamps}
        asked |= {"since": NOW + 2 * SECOND, "until": NOW + 8 * SECOND, "seller_id": ada}
        for names in (some for n in range(7) for some in itertools.combinations(asked, n)):
            only = OrderFilter(**{name: asked[name] for name in names})
            self.check(store.orders.of_buyer, buyer, only, [one for one in everything if fits(one, only, None)])
            if only.seller_id is None:
                mine = [one for one in everything if fits(one, only, ada)]
                self.check(store.orders.of_seller, ada, only, mine)
        assert store.orders.of_seller(ada, only=OrderFilter(product_id=vases), before=None, limit=9) == []

    def check(self, listing: Any, key: UUID, only: OrderFilter, expected: list[Order]) -> None:
        assert listing(key, only=only, before=None, limit=99) == expected, only
        if len(expected) > 1:
            mark = TimeCursor(expected[0].created_at, expected[0].id)
            assert listing(key, only=only, before=mark, limit=99) == expected[1:], only


def fits(one: Order, only: OrderFilter, seller: UUID | None) -> bool:
    part = one.of(seller) if seller else None
    if seller and part is None:
        return False
    return (
        only.state in {None, part.state if part else one.state}
        and only.currency in {None, one.total.currency}
        and (only.seller_id is None or one.of(only.seller_id) is not None)
        and only.product_id in {None, *(each.product_id for each in one.lines)}
        and (only.since is None or one.created_at >= only.since)
        and (only.until is None or one.created_at < only.until)
    )
