"""The contract of orders: adding them, and moving them from state to state."""

from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Conflict, IllegalMove, Invalid, NotFound, Short
from repositories.records.chain_heads import PartsHead
from repositories.records.money import Money
from repositories.records.orders import Order, Stock, SubOrderState
from repositories.relational import RelationalStore
from repositories.relational.orders_port import Outcome
from repositories.relational.schema.order_tables import orders
from tests.contracts.money import line, order
from tests.contracts.relational.order_steps import OUTCOMES, STATES, add, bring, in_state, move, refuse
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, SECOND, do, sql, together


class TestAdd:
    def test_keeps_all_of_it(self, store: RelationalStore) -> None:
        product = uuid4()
        lines = (line(product, 2), line(uuid4(), 1, 0, title="\u0130\u0131 \u0645"), line(product, 1), line(uuid4()))
        one = add(store, order(*lines, due_at=NOW + SECOND))
        assert store.orders.get([one.id, uuid4()]) == {one.id: one}
        assert do(store, lambda unit: unit.orders.lock(one.id)) == one
        assert store.orders.get([]) == {}

    def test_many_are_read_at_once(self, store: RelationalStore) -> None:
        made = [add(store, order(*(line(uuid4()) for _ in range(3)))) for _ in range(4)]
        assert store.orders.get([one.id for one in made]) == {one.id: one for one in made}

    def test_the_same_id_again_is_a_conflict(self, store: RelationalStore) -> None:
        one = add(store, order())
        with pytest.raises(Conflict) as caught:
            add(store, one)
        assert caught.value.field == "id"

    @pytest.mark.parametrize(
        "change",
        [
            {"lines": ()},
            {"sub_orders": ()},
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
    def test_refuses_invalid_orders(self, store: RelationalStore, change: dict[str, Any]) -> None:
        one = replace(order(), **change)
        with pytest.raises(Invalid):
            add(store, one)
        assert store.orders.get([one.id]) == {}


class TestMove:
    @pytest.mark.parametrize("start", STATES)
    @pytest.mark.parametrize("to", OUTCOMES)
    def test_every_pair_of_states(self, store: RelationalStore, start: SubOrderState, to: Outcome) -> None:
        one = in_state(store, start)
        if start == "placed":
            by, reason = (None, None) if to == "paid" else (uuid4(), "Broken.")
            moved = do(store, lambda unit: unit.orders.move(one.id, to, at=NOW, by=by, reason=reason))
            (part,) = one.sub_orders
            times = {"paid_at": NOW} if to == "paid" else {"ended_at": NOW, "ended_by": by, "reason": reason}
            part = replace(part, state=to, version=2, moved_at=NOW, **times)
            whole = "cancelled" if to == "refused" else to
            assert moved == replace(one, state=whole, version=2, moved_at=NOW, due_at=None, sub_orders=(part,))
            assert store.orders.get([one.id]) == {one.id: moved}
        else:
            with pytest.raises(IllegalMove) as caught:
                do(store, lambda unit: unit.orders.move(one.id, to, at=NOW))
            assert caught.value.state == one.state
            assert store.orders.get([one.id]) == {one.id: one}

    def test_of_an_unknown_order(self, store: RelationalStore) -> None:
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.orders.move(uuid4(), "paid", at=NOW))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.orders.lock(uuid4()))

    def test_of_one_seller(self, store: RelationalStore) -> None:
        one = add(store, order(line(uuid4()), line(uuid4()), due_at=NOW + SECOND))
        mine, theirs = one.sub_orders
        refused = do(store, lambda unit: refuse(unit, one, mine.seller_id))
        assert (refused.state, refused.due_at) == ("placed", NOW + SECOND)
        assert refused.of(theirs.seller_id) == theirs
        with pytest.raises(IllegalMove) as caught:
            do(store, lambda unit: refuse(unit, one, mine.seller_id))
        assert caught.value.state == "refused"
        with pytest.raises(IllegalMove):
            do(store, lambda unit: refuse(unit, one, uuid4()))
        paid = move(store, one, "paid")
        assert [part.state for part in paid.sub_orders] == ["refused", "paid"]
        assert (paid.state, paid.due_at, paid.version) == ("paid", None, 3)

    def test_one_of_many_wins(self, store: RelationalStore) -> None:
        for _ in range(5):
            one = add(store, order())
            ends = together([lambda to=to, one=one: move(store, one, to) for to in ("paid", "cancelled") * 4])  # type: ignore[misc]  # default binds
            (won,) = (end for end in ends if isinstance(end, Order))
            assert sum(isinstance(end, IllegalMove) for end in ends) == 7
            assert store.orders.get([one.id]) == {one.id: won}

    @pytest.mark.parametrize(
        ("states", "whole"),
        [
            (("placed", "refused"), "placed"),
            (("paid", "refused"), "paid"),
            (("paid", "fulfilled"), "paid"),
            (("partly_fulfilled", "fulfilled"), "paid"),
            (("partly_fulfilled", "refunded"), "paid"),
            (("fulfilled", "refused"), "fulfilled"),
            (("fulfilled", "refunded"), "fulfilled"),
            (("refunded", "refused"), "refunded"),
            (("refunded", "refunded"), "refunded"),
            (("cancelled", "refused"), "cancelled"),
            (("refused", "refused"), "cancelled"),
        ],
    )
    def test_the_state_of_the_whole_order(
        self, store: RelationalStore, states: tuple[SubOrderState, ...], whole: str
    ) -> None:
        for pair in (states, states[::-1]):
            one = add(store, order(*(line(uuid4(), 2) for _ in pair), due_at=NOW))
            for turn in ("refused", "placed"):
                for part, state in zip(one.lines, pair, strict=True):
                    if (state == "refused") == (turn == "refused"):
                        bring(store, one, part.seller_id, state)
            found = store.orders.get([one.id])[one.id]
            assert found.state == whole
            assert {found.of(each.seller_id) for each in one.lines} == set(found.sub_orders)
            assert {part.state for part in found.sub_orders} == set(pair)
            assert (found.due_at is None) == (whole != "placed")


class TestNotedHeads:
    def test_a_part_is_noted_once_for_each_time_it_moved(self, store: RelationalStore) -> None:
        first = note(store)
        assert do(store, lambda unit: unit.orders.note_heads(limit=1)) == (0, first)
        one, other = add(store, order()), add(store, order())
        assert do(store, lambda unit: unit.orders.note_heads(limit=1))[0] == 1
        assert note(store).count == first.count + 2
        move(store, one, "paid")
        move(store, other, "cancelled")
        ends = together([lambda: note(store)] * 3)
        assert max(end.count for end in ends if isinstance(end, PartsHead)) == first.count + 4
        assert [one for one in store.audit.stock(parts=note(store)) if "heads" in one.about] == []


class TestDatabaseConstraints:
    @pytest.mark.parametrize("change", [{"refunded": 6}, {"refunded": -1}, {"state": "lost"}, {"total": -1}])
    def test_has_checks(self, store: RelationalStore, change: dict[str, Any]) -> None:
        one = add(store, order())
        with pytest.raises(SQLAlchemyError):
            sql(store, update(orders).where(orders.c.id == one.id).values(**change))


class TestBulk:
    def test_past_orders_are_loaded_with_their_stock(self, store: RelationalStore) -> None:
        product, other = uuid4(), uuid4()
        lines = (line(product, 2), line(product, 1), line(other, 4))
        paid, refunded, cancelled = (order(*lines, state=state) for state in ("paid", "refunded", "cancelled"))
        do(store, lambda unit: unit.bulk.stock({product: 7}))
        for _ in range(2):
            do(store, lambda unit: unit.bulk.orders([paid, refunded, cancelled, paid]))
        assert store.orders.get([paid.id, refunded.id, cancelled.id]) == {
            one.id: one for one in (paid, refunded, cancelled)
        }
        assert store.stock.levels([product, other]) == {
            product: Stock(product, 7, 0, 3, 11),
            other: Stock(other, 0, 0, 4, 13),
        }
        assert store.orders.of_seller(lines[0].seller_id, before=None, limit=9)
        assert do(store, lambda unit: unit.stock.return_sold(paid.id)) == {product: 3, other: 4}
        assert do(store, lambda unit: unit.stock.return_sold(refunded.id)) == {}
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.bulk.orders([order()]))
        with pytest.raises(Short):
            do(store, lambda unit: unit.stock.reserve(uuid4(), {other: 5}, expires_at=NOW))


def note(store: RelationalStore) -> PartsHead:
    """Record the remaining heads of sub-orders, one per transaction. Returns the head of their chain."""
    while True:
        count, end = do(store, lambda unit: unit.orders.note_heads(limit=1))
        if not count:
            return end
