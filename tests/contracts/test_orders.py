"""The contract of orders."""

import itertools
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from repositories.chain_heads import PartsHead
from repositories.errors import Conflict, IllegalMove, Invalid, NotFound, Short
from repositories.money_records import Order, Shipment, Stock, SubOrderState
from repositories.order_filter import OrderFilter
from repositories.records import Money, TimeCursor
from repositories.relational import RelationalStore, Transaction
from repositories.relational.orders_port import Outcome
from repositories.relational.schema.order_tables import orders
from tests.contracts.money import LARGEST, MICROSECOND, SECOND, do, give_back, line, order, sql, surely, together
from tests.contracts.relational_store import NOW

STATES: tuple[SubOrderState, ...] = get_args(SubOrderState)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class TestAdd:
    def test_keeps_all_of_it(self, relational: RelationalStore) -> None:
        product = uuid4()
        lines = (line(product, 2), line(uuid4(), 1, 0, title="\u0130\u0131 \u0645"), line(product, 1), line(uuid4()))
        one = add(relational, order(*lines, due_at=NOW + SECOND))
        assert relational.orders.get([one.id, uuid4()]) == {one.id: one}
        assert do(relational, lambda unit: unit.orders.lock(one.id)) == one
        assert relational.orders.get([]) == {}

    def test_many_are_read_at_once(self, relational: RelationalStore) -> None:
        made = [add(relational, order(*(line(uuid4()) for _ in range(3)))) for _ in range(4)]
        assert relational.orders.get([one.id for one in made]) == {one.id: one for one in made}

    def test_the_same_id_again_is_a_conflict(self, relational: RelationalStore) -> None:
        one = add(relational, order())
        with pytest.raises(Conflict) as caught:
            add(relational, one)
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
    def test_refuses_invalid_orders(self, relational: RelationalStore, change: dict[str, Any]) -> None:
        one = replace(order(), **change)
        with pytest.raises(Invalid):
            add(relational, one)
        assert relational.orders.get([one.id]) == {}


class TestMove:
    @pytest.mark.parametrize("start", STATES)
    @pytest.mark.parametrize("to", OUTCOMES)
    def test_every_pair_of_states(self, relational: RelationalStore, start: SubOrderState, to: Outcome) -> None:
        one = in_state(relational, start)
        if start == "placed":
            by, reason = (None, None) if to == "paid" else (uuid4(), "Broken.")
            moved = do(relational, lambda unit: unit.orders.move(one.id, to, at=NOW, by=by, reason=reason))
            (part,) = one.sub_orders
            times = {"paid_at": NOW} if to == "paid" else {"ended_at": NOW, "ended_by": by, "reason": reason}
            part = replace(part, state=to, version=2, moved_at=NOW, **times)
            whole = "cancelled" if to == "refused" else to
            assert moved == replace(one, state=whole, version=2, moved_at=NOW, due_at=None, sub_orders=(part,))
            assert relational.orders.get([one.id]) == {one.id: moved}
        else:
            with pytest.raises(IllegalMove) as caught:
                do(relational, lambda unit: unit.orders.move(one.id, to, at=NOW))
            assert caught.value.state == one.state
            assert relational.orders.get([one.id]) == {one.id: one}

    def test_of_an_unknown_order(self, relational: RelationalStore) -> None:
        with pytest.raises(NotFound):
            do(relational, lambda unit: unit.orders.move(uuid4(), "paid", at=NOW))
        with pytest.raises(NotFound):
            do(relational, lambda unit: unit.orders.lock(uuid4()))

    def test_of_one_seller(self, relational: RelationalStore) -> None:
        one = add(relational, order(line(uuid4()), line(uuid4()), due_at=NOW + SECOND))
        mine, theirs = one.sub_orders
        refused = do(relational, lambda unit: refuse(unit, one, mine.seller_id))
        assert (refused.state, refused.due_at) == ("placed", NOW + SECOND)
        assert refused.of(theirs.seller_id) == theirs
        with pytest.raises(IllegalMove) as caught:
            do(relational, lambda unit: refuse(unit, one, mine.seller_id))
        assert caught.value.state == "refused"
        with pytest.raises(IllegalMove):
            do(relational, lambda unit: refuse(unit, one, uuid4()))
        paid = move(relational, one, "paid")
        assert [part.state for part in paid.sub_orders] == ["refused", "paid"]
        assert (paid.state, paid.due_at, paid.version) == ("paid", None, 3)

    def test_one_of_many_wins(self, relational: RelationalStore) -> None:
        for _ in range(5):
            one = add(relational, order())
            ends = together([lambda to=to, one=one: move(relational, one, to) for to in ("paid", "cancelled") * 4])  # type: ignore[misc]  # default binds
            (won,) = (end for end in ends if isinstance(end, Order))
            assert sum(isinstance(end, IllegalMove) for end in ends) == 7
            assert relational.orders.get([one.id]) == {one.id: won}

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
        self, relational: RelationalStore, states: tuple[SubOrderState, ...], whole: str
    ) -> None:
        for pair in (states, states[::-1]):
            one = add(relational, order(*(line(uuid4(), 2) for _ in pair), due_at=NOW))
            for turn in ("refused", "placed"):
                for part, state in zip(one.lines, pair, strict=True):
                    if (state == "refused") == (turn == "refused"):
                        bring(relational, one, part.seller_id, state)
            found = relational.orders.get([one.id])[one.id]
            assert found.state == whole
            assert {found.of(each.seller_id) for each in one.lines} == set(found.sub_orders)
            assert {part.state for part in found.sub_orders} == set(pair)
            assert (found.due_at is None) == (whole != "placed")


class TestNotedHeads:
    def test_a_part_is_noted_once_for_each_time_it_moved(self, relational: RelationalStore) -> None:
        first = note(relational)
        assert do(relational, lambda unit: unit.orders.note_heads(limit=1)) == (0, first)
        one, other = add(relational, order()), add(relational, order())
        assert do(relational, lambda unit: unit.orders.note_heads(limit=1))[0] == 1
        assert note(relational).count == first.count + 2
        move(relational, one, "paid")
        move(relational, other, "cancelled")
        ends = together([lambda: note(relational)] * 3)
        assert max(end.count for end in ends if isinstance(end, PartsHead)) == first.count + 4
        assert [one for one in relational.audit.stock(parts=note(relational)) if "heads" in one.about] == []


class TestLists:
    def test_of_buyer_and_of_seller(self, relational: RelationalStore) -> None:
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
            mark = TimeCursor(first[-1].created_at, first[-1].id)
            assert first + listing(key, before=mark, limit=99) == newest
            assert listing(key, before=TimeCursor(newest[-1].created_at, newest[-1].id), limit=9) == []
            assert listing(uuid4(), before=None, limit=9) == listing(key, before=None, limit=0) == []
            made_now = relational.orders.of_buyer(buyer, before=None, limit=1)
            sql(relational, update(orders).where(orders.c.id == made_now[0].id).values(buyer_id=uuid4()))

    def test_stuck(self, relational: RelationalStore) -> None:
        due = NOW - 99 * SECOND
        late, soon = (add(relational, order(due_at=due + turn * MICROSECOND)) for turn in (1, 0))
        assert relational.orders.stuck(now=due - MICROSECOND, limit=9) == []
        assert relational.orders.stuck(now=due, limit=9) == [soon]
        assert relational.orders.stuck(now=NOW, limit=9)[:2] == [soon, late]
        assert relational.orders.stuck(now=NOW, limit=1) == [soon]
        move(relational, late, "cancelled")
        assert relational.orders.stuck(now=due + SECOND, limit=9) == [soon]
        move(relational, soon, "paid")
        assert relational.orders.stuck(now=due + SECOND, limit=9) == []

    @pytest.mark.parametrize("state", STATES)
    def test_unfinished(self, relational: RelationalStore, state: SubOrderState) -> None:
        one = in_state(relational, state)
        (seller,) = {line.seller_id for line in one.lines}
        found = do(relational, lambda unit: unit.orders.unfinished_of(seller, limit=9))
        assert found == ([one.id] if state in {"placed", "paid", "partly_fulfilled"} else [])
        assert do(relational, lambda unit: unit.orders.unfinished_of(seller, limit=0)) == []
        assert do(relational, lambda unit: unit.orders.unfinished_of(one.buyer_id, limit=9)) == []


class TestChoices:
    def test_every_choice_alone_and_together(self, relational: RelationalStore) -> None:
        """The pages of the buyer and of a seller are compared with a filter in Python."""
        buyer, ada, bob = uuid4(), uuid4(), uuid4()
        lamps, vases = uuid4(), uuid4()
        lines = {lamps: line(lamps, seller_id=ada), vases: line(vases, seller_id=bob)}
        for turn, products in enumerate([(lamps,), (vases,), (lamps, vases), (lamps, lamps), (vases, lamps)] * 2):
            currency = "USD" if turn % 3 == 0 else "EUR"
            made = order(*(lines[one] for one in products), buyer_id=buyer, created_at=NOW + turn * SECOND)
            add(relational, replace(made, total=replace(made.total, currency=currency)))
            if turn % 2:
                move(relational, made, "paid")
                ship(relational, made, made.lines[0].seller_id)
        everything = relational.orders.of_buyer(buyer, before=None, limit=99)
        asked: dict[str, Any] = {"state": "paid", "currency": "EUR", "product_id": lamps}
        asked |= {"since": NOW + 2 * SECOND, "until": NOW + 8 * SECOND, "seller_id": ada}
        for names in (some for n in range(7) for some in itertools.combinations(asked, n)):
            only = OrderFilter(**{name: asked[name] for name in names})
            self.check(relational.orders.of_buyer, buyer, only, [one for one in everything if fits(one, only, None)])
            if only.seller_id is None:
                mine = [one for one in everything if fits(one, only, ada)]
                self.check(relational.orders.of_seller, ada, only, mine)
        assert relational.orders.of_seller(ada, only=OrderFilter(product_id=vases), before=None, limit=9) == []

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


class TestTheDatabaseItself:
    @pytest.mark.parametrize("change", [{"refunded": 6}, {"refunded": -1}, {"state": "lost"}, {"total": -1}])
    def test_has_checks(self, relational: RelationalStore, change: dict[str, Any]) -> None:
        one = add(relational, order())
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(orders).where(orders.c.id == one.id).values(**change))


class TestBulk:
    def test_past_orders_are_loaded_with_their_stock(self, relational: RelationalStore) -> None:
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
            product: Stock(product, 7, 0, 3, 11),
            other: Stock(other, 0, 0, 4, 13),
        }
        assert relational.orders.of_seller(lines[0].seller_id, before=None, limit=9)
        assert do(relational, lambda unit: unit.stock.return_sold(paid.id)) == {product: 3, other: 4}
        assert do(relational, lambda unit: unit.stock.return_sold(refunded.id)) == {}
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.bulk.orders([order()]))
        with pytest.raises(Short):
            do(relational, lambda unit: unit.stock.reserve(uuid4(), {other: 5}, expires_at=NOW))


def add(store: RelationalStore, one: Order) -> Order:
    do(store, lambda unit: unit.orders.add(one))
    return one


def note(store: RelationalStore) -> PartsHead:
    """Record the remaining heads of sub-orders, one per transaction. Returns the head of their chain."""
    while True:
        count, end = do(store, lambda unit: unit.orders.note_heads(limit=1))
        if not count:
            return end


def move(store: RelationalStore, one: Order, to: Outcome) -> Order:
    return surely(store, lambda unit: unit.orders.move(one.id, to, at=NOW))


def refuse(unit: Transaction, one: Order, seller: UUID) -> Order:
    return unit.orders.move(one.id, "refused", seller_id=seller, at=NOW, by=uuid4(), reason="")


def ship(store: RelationalStore, one: Order, seller: UUID, units: int | None = None) -> Shipment:
    """Ship `units` of each line of the seller, or all of them."""
    sent = tuple((each.number, units or each.quantity) for each in one.lines if each.seller_id == seller)
    made = Shipment(uuid4(), one.id, seller, "A1", NOW, sent)

    def work(unit: Transaction) -> Shipment:
        unit.orders.lock(one.id)
        unit.shipments.add(made)
        return made

    return surely(store, work)


def bring(store: RelationalStore, one: Order, seller: UUID, state: SubOrderState) -> None:
    """Move a seller's sub-order of a placed order to a state. On the way, other placed sub-orders may become paid."""
    if state == "refused":
        do(store, lambda unit: refuse(unit, one, seller))
        return
    if state in {"placed", "cancelled"}:
        if state == "cancelled":
            move(store, one, "cancelled")
        return
    part = store.orders.get([one.id])[one.id].of(seller)
    assert part
    if part.state == "placed":
        move(store, one, "paid")
    if state == "refunded":
        give_back(store, one, part.total, seller_id=seller)
    elif state != "paid":
        ship(store, one, seller, 1 if state == "partly_fulfilled" else None)


def in_state(store: RelationalStore, state: SubOrderState) -> Order:
    """An order from one seller, moved to the state."""
    one = add(store, order(line(uuid4(), 2 if state == "partly_fulfilled" else 1)))
    bring(store, one, one.lines[0].seller_id, state)
    return store.orders.get([one.id])[one.id]
