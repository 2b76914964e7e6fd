"""What every store of orders promises."""

from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Conflict, IllegalMove, Invalid, NotFound, Short
from repositories.money_records import ORDER_MOVES, Order, OrderMark, OrderState, Stock
from repositories.records import Money
from repositories.relational import Relational
from repositories.relational.schema.money_tables import orders
from tests.contracts.money import LARGEST, MICROSECOND, SECOND, do, give_back, line, order, sql, surely, together
from tests.contracts.relational_store import NOW

STATES: tuple[OrderState, ...] = ("placed", "paid", "fulfilled", "cancelled", "refunded")
PATHS: dict[OrderState, tuple[OrderState, ...]] = {
    "placed": (),
    "paid": ("paid",),
    "fulfilled": ("paid", "fulfilled"),
    "cancelled": ("cancelled",),
    "refunded": ("paid",),
}


class TestAdd:
    def test_keeps_all_of_it(self, relational: Relational) -> None:
        product = uuid4()
        lines = (line(product, 2), line(uuid4(), 1, 0, title="\u0130\u0131 \u0645"), line(product, 1), line(uuid4()))
        one = add(relational, order(*lines, due_at=NOW + SECOND))
        assert relational.orders.get([one.id, uuid4()]) == {one.id: one}
        assert do(relational, lambda unit: unit.orders.lock(one.id)) == one
        assert relational.orders.get([]) == {}

    def test_many_at_once(self, relational: Relational) -> None:
        made = [add(relational, order(*(line(uuid4()) for _ in range(3)))) for _ in range(4)]
        assert relational.orders.get([one.id for one in made]) == {one.id: one for one in made}

    def test_once(self, relational: Relational) -> None:
        one = add(relational, order())
        with pytest.raises(Conflict) as caught:
            add(relational, one)
        assert caught.value.field == "id"

    @pytest.mark.parametrize(
        "change",
        [
            {"lines": ()},
            {"lines": (line(uuid4(), 0),)},
            {"lines": (line(uuid4(), -1),)},
            {"lines": (line(uuid4(), 1, -5),)},
            {"lines": (line(uuid4(), 2, LARGEST),), "total": Money(2 * LARGEST, "EUR")},
            {"total": Money(4, "EUR")},
            {"total": Money(5, "EURO")},
            {"lines": (line(uuid4(), title="a\0b"),)},
            {"lines": (line(uuid4(), title="\ud800"),)},
            {"state": "paid"},
            {"refunded": 1},
        ],
    )
    def test_refuses_what_is_no_new_order(self, relational: Relational, change: dict[str, Any]) -> None:
        one = replace(order(), **change)
        with pytest.raises(Invalid):
            add(relational, one)
        assert relational.orders.get([one.id]) == {}


class TestMove:
    @pytest.mark.parametrize("start", STATES)
    @pytest.mark.parametrize("to", STATES)
    def test_every_pair(self, relational: Relational, start: OrderState, to: OrderState) -> None:
        one = in_state(relational, start)
        if to in ORDER_MOVES[start]:
            moved = do(relational, lambda unit: unit.orders.move(one.id, STATES, to, at=NOW))
            assert moved == replace(one, state=to, version=one.version + 1, moved_at=NOW)
            assert relational.orders.get([one.id]) == {one.id: moved}
        else:
            with pytest.raises(IllegalMove) as caught:
                do(relational, lambda unit: unit.orders.move(one.id, STATES, to, at=NOW))
            assert caught.value.state == start
            assert relational.orders.get([one.id]) == {one.id: one}

    def test_only_from_the_states_given(self, relational: Relational) -> None:
        one = in_state(relational, "paid")
        for states in ([], ["fulfilled"], ["placed"]):
            with pytest.raises(IllegalMove):
                do(relational, lambda unit, s=states: unit.orders.move(one.id, s, "fulfilled", at=NOW))  # type: ignore[misc]  # default binds
        with pytest.raises(NotFound):
            do(relational, lambda unit: unit.orders.move(uuid4(), ["placed"], "paid", at=NOW))
        with pytest.raises(NotFound):
            do(relational, lambda unit: unit.orders.lock(uuid4()))

    def test_one_of_many_wins(self, relational: Relational) -> None:
        for _ in range(5):
            one = add(relational, order())
            ends = together([lambda to=to, one=one: move(relational, one, to) for to in ("paid", "cancelled") * 4])  # type: ignore[misc]  # default binds
            (won,) = (end for end in ends if isinstance(end, Order))
            assert sum(isinstance(end, IllegalMove) for end in ends) == 7
            assert relational.orders.get([one.id]) == {one.id: won}


class TestLists:
    def test_of_buyer_and_of_seller(self, relational: Relational) -> None:
        buyer, seller = uuid4(), uuid4()
        times = [NOW, NOW + MICROSECOND, NOW, NOW - SECOND, NOW]
        made = [
            add(
                relational,
                order(line(uuid4()), *(line(uuid4(), seller_id=seller),) * 2, buyer_id=buyer, created_at=at),
            )
            for at in times
        ]
        add(relational, order(buyer_id=uuid4()))
        newest = sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
        for listing, key in ((relational.orders.of_buyer, buyer), (relational.orders.of_seller, seller)):
            assert listing(key, before=None, limit=99) == newest
            first = listing(key, before=None, limit=2)
            add(relational, order(buyer_id=buyer, created_at=NOW + SECOND))
            mark = OrderMark(first[-1].created_at, first[-1].id)
            assert first + listing(key, before=mark, limit=99) == newest
            assert listing(key, before=OrderMark(newest[-1].created_at, newest[-1].id), limit=9) == []
            assert listing(uuid4(), before=None, limit=9) == listing(key, before=None, limit=0) == []
            made_now = relational.orders.of_buyer(buyer, before=None, limit=1)
            sql(relational, update(orders).where(orders.c.id == made_now[0].id).values(buyer_id=uuid4()))

    def test_stuck(self, relational: Relational) -> None:
        due = NOW - 99 * SECOND
        late, soon = (add(relational, order(due_at=due + turn * MICROSECOND)) for turn in (1, 0))
        assert relational.orders.stuck(now=due - MICROSECOND, limit=9) == []
        assert relational.orders.stuck(now=due, limit=9) == [soon]
        assert relational.orders.stuck(now=NOW, limit=9)[:2] == [soon, late]
        assert relational.orders.stuck(now=NOW, limit=1) == [soon]
        again = do(relational, lambda unit: unit.orders.move(soon.id, ["placed"], "paid", at=NOW, due_at=NOW))
        assert again.due_at == NOW
        move(relational, late, "cancelled")
        assert again in relational.orders.stuck(now=NOW, limit=9)
        move(relational, again, "fulfilled")
        assert relational.orders.stuck(now=due + SECOND, limit=9) == []

    @pytest.mark.parametrize("state", STATES)
    def test_unfinished(self, relational: Relational, state: OrderState) -> None:
        one = in_state(relational, state)
        (seller,) = {line.seller_id for line in one.lines}
        found = do(relational, lambda unit: unit.orders.unfinished_of(seller, limit=9))
        assert found == ([one.id] if state in {"placed", "paid"} else [])
        assert do(relational, lambda unit: unit.orders.unfinished_of(seller, limit=0)) == []
        assert do(relational, lambda unit: unit.orders.unfinished_of(one.buyer_id, limit=9)) == []


class TestTheDatabaseItself:
    @pytest.mark.parametrize("change", [{"refunded": 6}, {"refunded": -1}, {"state": "lost"}, {"total": -1}])
    def test_has_checks(self, relational: Relational, change: dict[str, Any]) -> None:
        one = add(relational, order())
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(orders).where(orders.c.id == one.id).values(**change))


class TestBulk:
    def test_orders_of_the_past(self, relational: Relational) -> None:
        product, other = uuid4(), uuid4()
        lines = (line(product, 2), line(product, 1), line(other, 4))
        paid, refunded, cancelled = (order(*lines, state=state) for state in ("paid", "refunded", "cancelled"))
        do(relational, lambda unit: unit.bulk.stock({product: 7}))
        for _ in range(2):
            do(relational, lambda unit: unit.bulk.orders([paid, refunded, cancelled, paid]))
        assert relational.orders.get([paid.id, refunded.id, cancelled.id]) == {
            one.id: one for one in (paid, refunded, cancelled)
        }
        assert relational.stock.levels([product, other]) == {
            product: Stock(product, 7, 0, 3, 1),
            other: Stock(other, 0, 0, 4, 1),
        }
        assert relational.orders.of_seller(lines[0].seller_id, before=None, limit=9)
        assert do(relational, lambda unit: unit.stock.return_sold(paid.id)) == {product: 3, other: 4}
        assert do(relational, lambda unit: unit.stock.return_sold(refunded.id)) == {}
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.bulk.orders([order()]))
        with pytest.raises(Short):
            do(relational, lambda unit: unit.stock.reserve(uuid4(), {other: 5}, expires_at=NOW))


def add(store: Relational, one: Order) -> Order:
    do(store, lambda unit: unit.orders.add(one))
    return one


def move(store: Relational, one: Order, to: OrderState) -> Order:
    return surely(store, lambda unit: unit.orders.move(one.id, STATES, to, at=NOW))


def in_state(store: Relational, state: OrderState) -> Order:
    one = add(store, order())
    for step in PATHS[state]:
        one = move(store, one, step)
    if state == "refunded":
        give_back(store, one)
    return store.orders.get([one.id])[one.id]
