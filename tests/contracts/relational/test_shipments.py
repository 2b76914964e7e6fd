"""The contract of shipments, and of the history of orders."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Conflict, IllegalMove, Invalid, NotFound
from repositories.records.graph import TimeCursor
from repositories.records.orders import Order, Shipment, SubOrderState
from repositories.relational import RelationalStore
from tests.contracts.money import buy, give_back, line, order
from tests.contracts.relational.order_steps import add, in_state, move, refuse, ship
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, SECOND, do, do_retrying, downgrade, together


def order_of_two_sellers(store: RelationalStore, state: SubOrderState = "paid") -> Order:
    """An order with two lines from one seller and one from another."""
    ada, bob = sorted((uuid4(), uuid4()))
    one = add(
        store, order(line(uuid4(), 3, seller_id=ada), line(uuid4(), 2, seller_id=bob), line(uuid4(), seller_id=ada))
    )
    return one if state == "placed" else move(store, one, "paid")


def shipment(one: Order, *units: tuple[int, int], **changes: object) -> Shipment:
    made = Shipment(uuid4(), one.id, one.lines[0].seller_id, "A1", NOW, units)
    return replace(made, **changes)


def send(store: RelationalStore, made: Shipment) -> Order:
    do(store, lambda unit: unit.shipments.add(made))
    return store.orders.get([made.order_id])[made.order_id]


def test_an_order_is_sent_in_several_shipments(store: RelationalStore) -> None:
    one = order_of_two_sellers(store)
    ada, bob = one.sub_orders
    first = shipment(one, (1, 2), (3, 1))
    now = send(store, first)
    part = replace(ada, state="partly_fulfilled", version=3, moved_at=NOW)
    assert now.sub_orders == (part, bob)
    assert [each.fulfilled for each in now.lines] == [2, 0, 1]
    assert (now.state, now.version) == ("paid", 3)
    rest = shipment(one, (1, 1), created_at=NOW + SECOND, reference="")
    now = send(store, rest)
    assert now.sub_orders == (replace(part, state="fulfilled", version=4, moved_at=NOW + SECOND), bob)
    theirs = shipment(one, (2, 2), seller_id=bob.seller_id)
    assert send(store, theirs).state == "fulfilled"
    assert store.shipments.get(first.id) == first
    assert store.shipments.get(uuid4()) is None
    assert store.shipments.of_order(one.id, seller_id=ada.seller_id, before=None, limit=9) == [rest, first]
    assert store.shipments.of_order(one.id, seller_id=bob.seller_id, before=None, limit=9) == [theirs]


@pytest.mark.parametrize("units", [(), ((1, 0),), ((1, -1),), ((1, 4),), ((2, 1),), ((9, 1),), ((1, 1), (1, 1))])
def test_invalid_shipments_are_refused(store: RelationalStore, units: tuple[tuple[int, int], ...]) -> None:
    one = order_of_two_sellers(store)
    with pytest.raises(Invalid):
        send(store, shipment(one, *units))
    assert store.orders.get([one.id]) == {one.id: one}


def test_strangers_and_repeated_ids_are_refused(store: RelationalStore) -> None:
    one = order_of_two_sellers(store)
    for strange in (shipment(one, (1, 1), seller_id=uuid4()), shipment(order(), (1, 1))):
        with pytest.raises(NotFound):
            send(store, strange)
    made = shipment(one, (1, 1))
    send(store, made)
    with pytest.raises(Conflict) as caught:
        send(store, made)
    assert caught.value.field == "id"


@pytest.mark.parametrize("state", ["placed", "cancelled", "refused", "fulfilled", "refunded"])
def test_only_a_paid_and_unsent_order_is_sent(store: RelationalStore, state: SubOrderState) -> None:
    one = in_state(store, state)
    with pytest.raises(IllegalMove) as caught:
        send(store, shipment(one, (1, 1)))
    assert caught.value.state == state


def test_concurrent_shipments_send_no_unit_twice(store: RelationalStore) -> None:
    one = order_of_two_sellers(store)
    seller = one.lines[0].seller_id
    ends = together([lambda: ship(store, one, seller, 1)] * 4)
    assert sum(isinstance(end, Shipment) for end in ends) == 1
    assert [each.fulfilled for each in store.orders.get([one.id])[one.id].lines] == [1, 0, 1]


def test_pages_are_newest_first(store: RelationalStore) -> None:
    one = order_of_two_sellers(store)
    made = [shipment(one, (1, 1), created_at=NOW + turn * MICROSECOND) for turn in (0, 1, 1)]
    for each in made:
        send(store, each)
    newest = sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
    for seller in (None, one.lines[0].seller_id):
        first = store.shipments.of_order(one.id, seller_id=seller, before=None, limit=2)
        mark = TimeCursor(first[-1].created_at, first[-1].id)
        assert first + store.shipments.of_order(one.id, seller_id=seller, before=mark, limit=9) == newest
    assert store.shipments.of_order(uuid4(), before=None, limit=9) == []


def test_the_history_lists_every_step_in_order(store: RelationalStore) -> None:
    one = order_of_two_sellers(store, "placed")
    ada, bob = (part.seller_id for part in one.sub_orders)
    do_retrying(store, lambda unit: refuse(unit, one, bob))
    do_retrying(store, lambda unit: unit.orders.move(one.id, "paid", at=NOW + SECOND))
    sent = shipment(one, (1, 1), created_at=NOW + 2 * SECOND)
    send(store, sent)
    back = give_back(store, one, 1, seller_id=ada, created_at=NOW + 3 * SECOND)
    expected: list[tuple[str, UUID | None, UUID]] = [
        ("paid", ada, ada),
        ("shipped", ada, sent.id),
        ("refunded", ada, back.id),
    ]
    found = store.shipments.history(one.id, after=None, limit=9)
    begun = {("placed", None, one.id), ("refused", bob, bob)}
    assert {(step.kind, step.seller_id, step.id) for step in found[:2]} == begun
    assert [(step.kind, step.seller_id, step.id) for step in found[2:]] == expected
    assert [step.at for step in found] == [NOW, NOW, *(NOW + turn * SECOND for turn in (1, 2, 3))]
    for seller in (None, ada):
        whole = store.shipments.history(one.id, seller_id=seller, after=None, limit=9)
        pages = store.shipments.history(one.id, seller_id=seller, after=None, limit=2)
        mark = TimeCursor(pages[-1].at, pages[-1].id)
        assert pages + store.shipments.history(one.id, seller_id=seller, after=mark, limit=9) == whole
        assert all(step.seller_id in {None, ada} for step in whole) == (seller is not None)
    assert store.shipments.history(uuid4(), after=None, limit=9) == []


def test_orders_of_earlier_versions_are_split(new_store: Callable[[], RelationalStore]) -> None:
    """Each sub-order gets the former state of the whole order, or becomes refunded if it was refunded completely."""
    store = new_store()
    placed, cancelled, paid, refunded = (buy(store, state) for state in ("placed", "cancelled", "paid", "paid"))
    first = refunded.lines[0].seller_id
    give_back(store, refunded, 15, restock=True, units=3, back={1: 2, 3: 1}, seller_id=first)
    mine = {each.product_id: 3 for each in refunded.lines if each.seller_id == first}
    do(store, lambda unit: unit.stock.return_sold(refunded.id, mine))
    done = buy(store, "paid")
    for part in done.sub_orders:
        ship(store, done, part.seller_id)
    everything = [placed.id, cancelled.id, paid.id, refunded.id, done.id]
    before = store.orders.get(everything)
    kinds = [_kinds(store, one) for one in everything]
    downgrade(store, "0015")
    assert store.migrate()[0].startswith("relational: 0016 ")
    after = store.orders.get(everything)
    states = [[part.state for part in after[one].sub_orders] for one in everything]
    assert states == [[part.state for part in before[one].sub_orders] for one in everything]
    for one in everything:
        assert [(part.total, part.refunded) for part in after[one].sub_orders] == [
            (part.total, part.refunded) for part in before[one].sub_orders
        ]
        assert [(each.number, each.fulfilled) for each in after[one].lines] == [
            (each.number, each.fulfilled) for each in before[one].lines
        ]
    assert {each.number: each.returned for each in after[refunded.id].lines} == {
        each.number: each.quantity if each.seller_id == first else 0 for each in refunded.lines
    }
    assert kinds == [_kinds(store, one) for one in everything]


def _kinds(store: RelationalStore, one: UUID) -> list[str]:
    return sorted(step.kind for step in store.shipments.history(one, after=None, limit=99))
