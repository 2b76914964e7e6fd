"""The contract of refunds: the refunded amount of an order is the amount that the ledger has moved."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Capped, Conflict, IllegalMove, Insufficient, NotFound, StoreError
from repositories.records.graph import TimeCursor
from repositories.records.money import PROVIDER, REFUND, Money, Transfer
from repositories.records.orders import Order, SubOrderState
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import buy, give_back, line, order, refund, transfer
from tests.contracts.relational.order_steps import add, in_state, move
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, do, do_retrying, downgrade, together


def test_an_order_shows_the_sum_of_its_refunds(store: RelationalStore) -> None:
    one = in_state(store, "paid")
    part = give_back(store, one, 2, restock=True)
    said = store.orders.get([one.id])[one.id]
    now = {"refunded": 2, "version": one.version + 1, "moved_at": part.created_at}
    assert said == replace(one, **now, sub_orders=(replace(one.sub_orders[0], **now),))
    assert store.refunds.get(part.id) == part
    assert store.refunds.get(uuid4()) is None
    rest = give_back(store, one, 3)
    said = store.orders.get([one.id])[one.id]
    assert (said.refunded, said.state) == (5, "refunded")
    assert store.refunds.of_order(one.id, before=None, limit=9) == [rest, part]


def test_a_refund_without_a_transfer_of_its_own_adds_nothing(store: RelationalStore) -> None:
    """A second refund row without its own transfer adds nothing."""
    one = in_state(store, "paid")
    first = give_back(store, one, 2)
    with pytest.raises(Conflict) as caught:
        do(store, lambda unit: unit.refunds.add(first))
    assert caught.value.field == "id"
    do(store, lambda unit: unit.refunds.add(refund(one, 2)))
    assert store.orders.get([one.id])[one.id].refunded == 2


def test_never_more_than_the_total(store: RelationalStore) -> None:
    one = in_state(store, "fulfilled")
    give_back(store, one, 3)
    with pytest.raises(Capped) as caught:
        give_back(store, one, 3)
    assert caught.value.left == 2
    assert store.orders.get([one.id])[one.id].refunded == 3


def test_a_refund_of_nothing_has_no_transfer(store: RelationalStore) -> None:
    free = add(store, order(line(uuid4(), 1, 0)))
    move(store, free, "paid")
    made = give_back(store, free, restock=True)
    assert store.orders.get([free.id])[free.id].state == "refunded"
    assert store.refunds.get(made.id) == made
    assert store.ledger.get([made.id]) == {}


@pytest.mark.parametrize("state", ["placed", "cancelled", "refused", "refunded"])
def test_only_a_paid_order_is_refunded(store: RelationalStore, state: SubOrderState) -> None:
    one = in_state(store, state)
    with pytest.raises(IllegalMove) as caught:
        do(store, lambda unit: unit.refunds.add(refund(one)))
    assert caught.value.state == state
    with pytest.raises(NotFound):
        do(store, lambda unit: unit.refunds.add(refund(order())))


def test_each_seller_refunds_only_the_own_part(store: RelationalStore) -> None:
    ada, bob = sorted((uuid4(), uuid4()))
    one = add(store, order(line(uuid4(), 2, seller_id=ada), line(uuid4(), 1, seller_id=bob)))
    move(store, one, "paid")
    mine = [give_back(store, one, 4, seller_id=ada), give_back(store, one, 1, seller_id=ada, restock=True)]
    with pytest.raises(Capped) as caught:
        give_back(store, one, 6, seller_id=bob)
    assert caught.value.left == 5
    theirs = give_back(store, one, 2, seller_id=bob)
    found = store.orders.get([one.id])[one.id]
    said = [(part.seller_id, part.refunded, part.state) for part in found.sub_orders]
    assert said == [(ada, 5, "paid"), (bob, 2, "paid")]
    assert found.refunded == 7
    listed = store.refunds.of_order
    assert listed(one.id, seller_id=bob, before=None, limit=9) == [theirs]
    assert {made.id for made in listed(one.id, seller_id=ada, before=None, limit=9)} == {made.id for made in mine}


@pytest.mark.parametrize("state", ["paid", "partly_fulfilled"])
def test_returned_units_are_not_to_be_sent(store: RelationalStore, state: SubOrderState) -> None:
    one = in_state(store, state)
    (first,) = one.lines
    do(store, lambda unit: unit.refunds.add(refund(one, 0, restock=True, units=1), {1: 1}))
    found = store.orders.get([one.id])[one.id]
    assert found.lines == (replace(first, returned=1),)
    assert (found.lines[0].unsent, found.state) == (0, "fulfilled")
    with pytest.raises(StoreError):
        do(store, lambda unit: unit.refunds.add(refund(one, 0, restock=True, units=9), {1: 9}))


def test_a_refund_may_refuse_only_a_paid_sub_order(store: RelationalStore) -> None:
    one = in_state(store, "paid")
    why = {"reason": "Broken.", "restock": True, "units": 1}
    made = give_back(store, one, 5, back={1: 1}, refuses=True, **why)
    (part,) = store.orders.get([one.id])[one.id].sub_orders
    assert (part.state, part.refunded, part.ended_by, part.reason) == ("refused", 5, made.id, "Broken.")
    assert part.ended_at == made.created_at
    assert store.orders.get([one.id])[one.id].state == "refunded"
    for state in ("placed", "partly_fulfilled", "fulfilled"):
        other = in_state(store, state)
        with pytest.raises((IllegalMove, Capped)):
            do(store, lambda unit, other=other: unit.refunds.add(refund(other, 0), refuses=True))  # type: ignore[misc]  # default binds


def test_pages_are_newest_first(store: RelationalStore) -> None:
    one = in_state(store, "paid")
    made = [give_back(store, one, 1, created_at=NOW + turn * MICROSECOND) for turn in (0, 2, 1, 1)]
    newest = sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
    for seller in (None, one.lines[0].seller_id):
        first = store.refunds.of_order(one.id, seller_id=seller, before=None, limit=2)
        mark = TimeCursor(first[-1].created_at, first[-1].id)
        assert first + store.refunds.of_order(one.id, seller_id=seller, before=mark, limit=9) == newest
    assert store.refunds.of_order(uuid4(), before=None, limit=9) == []


def test_many_at_once(store: RelationalStore) -> None:
    """Each of six refunds wants 2 of 5, and checks what is left while it holds the lock on the order."""
    one = in_state(store, "paid")
    seller = one.lines[0].seller_id
    do_retrying(store, lambda unit: unit.ledger.transfer(transfer(PROVIDER, seller, 50)))

    def want_two(unit: Transaction) -> Order:
        if unit.orders.lock(one.id).sub_orders[0].refunded > 3:
            raise Insufficient("too little is left")
        made = refund(one, 2)
        unit.ledger.transfer(Transfer(made.id, REFUND, seller, one.buyer_id, made.amount, NOW, one.id))
        unit.refunds.add(made)
        return one

    ends = together([lambda: do_retrying(store, want_two)] * 6)
    assert sum(isinstance(end, Order) for end in ends) == 2
    assert sum(isinstance(end, Insufficient) for end in ends) == 4
    assert store.orders.get([one.id])[one.id].refunded == 4


def test_past_refunds_are_loaded_with_their_transfers(store: RelationalStore) -> None:
    past = order(state="refunded", refunded=5)
    seller = past.lines[0].seller_id
    back = Transfer(uuid4(), REFUND, seller, past.buyer_id, Money(5, "EUR"), NOW, past.id)
    do_retrying(store, lambda unit: unit.ledger.transfer(transfer(PROVIDER, seller, 5)))
    do(store, lambda unit: unit.bulk.orders([past]))
    for _ in range(2):
        do(store, lambda unit: unit.bulk.transfers([back]))
    (made,) = store.refunds.of_order(past.id, before=None, limit=9)
    assert (made.id, made.seller_id, made.amount, made.restock) == (back.id, seller, back.amount, True)


def test_refunds_of_earlier_versions_are_found_in_the_ledger(new_store: Callable[[], RelationalStore]) -> None:
    """In earlier versions units were restocked with the refund that completed a seller's share."""
    store = new_store()
    one = buy(store, "paid")
    seller = one.lines[0].seller_id
    part = give_back(store, one, 2, reason="")
    made = [part, give_back(store, one, 13, reason="", restock=True, units=3)]
    part = give_back(store, one, 1, seller_id=one.lines[1].seller_id, reason="")
    mine = {line.product_id: 3 for line in one.lines if line.seller_id == seller}
    do(store, lambda unit: unit.stock.return_sold(one.id, mine))
    downgrade(store, "0010")
    assert store.migrate()[0] == "relational: 0011 create the table of refunds"
    assert [store.refunds.get(refund.id) for refund in (*made, part)] == [*made, part]
