"""Commands that bring orders into the states that tests need."""

from typing import get_args
from uuid import UUID, uuid4

from repositories.records.orders import Order, Shipment, SubOrderState
from repositories.relational import RelationalStore, Transaction
from repositories.relational.orders_port import Outcome
from tests.contracts.money import give_back, line, order
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import do, do_retrying

STATES: tuple[SubOrderState, ...] = get_args(SubOrderState)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def add(store: RelationalStore, one: Order) -> Order:
    do(store, lambda unit: unit.orders.add(one))
    return one


def move(store: RelationalStore, one: Order, to: Outcome) -> Order:
    return do_retrying(store, lambda unit: unit.orders.move(one.id, to, at=NOW))


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

    return do_retrying(store, work)


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
