"""A seller's commands on a sub-order: send some or all of its units, or refuse it.

Atomic: each command is one relational transaction, with the order locked before ledger accounts and stock. The ids of
shipments and refusals are derived from the idempotency key, so a repeated key always finds what it has made.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from app.errors import KeySpent, Missing, RuleBroken, Unprocessable
from app.events import OrderFulfilled, OrderRefused, OrderShipped
from app.services.commands.idempotency import Idempotency, Receipt
from app.services.commands.kit import Kit
from app.services.money.orders import Orders, free_holds
from app.services.money.refunds import Refunds
from app.services.money.shares import part_of, returnable, seen_by, units, unsent
from repositories.errors import IllegalMove
from repositories.records.graph import TimeCursor
from repositories.records.idempotency import Answer
from repositories.records.money import UNWRITTEN, Money
from repositories.records.orders import SUB_ORDER_MOVES, Order, OrderStep, Refund, Shipment
from repositories.relational import RelationalStore, Transaction

SHIPMENT = "shipment"


class WantedShipment(Struct, frozen=True):
    """`units` are by line number; None means all that are left to send."""

    units: dict[int, int] | None = None
    reference: str = ""


class Fulfilment:
    def __init__(
        self, relational: RelationalStore, idempotency: Idempotency, orders: Orders, refunds: Refunds, kit: Kit
    ) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._orders = orders
        self._refunds = refunds
        self._pack = kit.emitter

    def fulfil(self, seller: UUID, order_id: UUID, receipt: Receipt[Order]) -> Answer:
        """Send all units that are left. Raises `Missing`, `Forbidden`, `IllegalMove`, and what `Idempotency` raises."""
        shipment_id, wanted = receipt.attempt.id(SHIPMENT), WantedShipment()

        def ship(tx: Transaction, planned: Order) -> Order:
            self._ship(tx, planned, shipment_id, seller, wanted)
            return _as_seen_by(seller, tx.orders.lock(order_id))

        return self._idempotency.run(
            receipt,
            lambda: self._orders.sold(seller, order_id),
            ship,
            lambda: self._orders.read(seller, order_id) if self._relational.shipments.get(shipment_id) else None,
        )

    def ship(self, seller: UUID, order_id: UUID, wanted: WantedShipment, receipt: Receipt[Shipment]) -> Answer:
        """Send units. Raises what `fulfil` raises, `Unprocessable`, and `RuleBroken` for more than are left to send."""
        shipment_id = receipt.attempt.id(SHIPMENT)
        return self._idempotency.run(
            receipt,
            lambda: self._sendable(seller, order_id, wanted),
            lambda tx, planned: self._ship(tx, planned, shipment_id, seller, wanted),
            lambda: self._made(shipment_id, wanted),
        )

    def refuse(self, seller: UUID, order_id: UUID, reason: str, receipt: Receipt[Order]) -> Answer:
        """Refuse, before anything is sent: units and money go back. Raises what `fulfil` does, and `Insufficient`."""
        refusal = receipt.attempt.id("refusal")
        with self._orders.drop_stock_on_replay(lambda: units(self._orders.read(seller, order_id))):
            return self._idempotency.run(
                receipt,
                lambda: self._orders.sold(seller, order_id),
                lambda tx, planned: self._refuse(tx, planned, refusal, seller, reason),
                lambda: self._refused(seller, order_id, refusal, reason),
            )

    def of_order(
        self, account_id: UUID, order_id: UUID, *, before: TimeCursor | None, limit: int
    ) -> Sequence[Shipment]:
        """All shipments for the buyer, their own for a seller, newest first. Raises `Missing`, also for all others."""
        own = self._orders.own_part(account_id, order_id)
        return self._relational.shipments.of_order(order_id, seller_id=own, before=before, limit=limit)

    def read(self, account_id: UUID, order_id: UUID, shipment_id: UUID) -> Shipment:
        """A shipment, for the buyer and the seller who sent it. Raises `Missing`, also for all others."""
        own, shipment = self._orders.own_part(account_id, order_id), self._relational.shipments.get(shipment_id)
        if shipment is None or shipment.order_id != order_id or own not in {None, shipment.seller_id}:
            raise Missing("there is no such shipment")
        return shipment

    def history(self, account_id: UUID, order_id: UUID, *, after: TimeCursor | None, limit: int) -> Sequence[OrderStep]:
        """The steps of an order, oldest first: all for the buyer, those of their own part for a seller. Raises
        `Missing`.
        """
        own = self._orders.own_part(account_id, order_id)
        return self._relational.shipments.history(order_id, seller_id=own, after=after, limit=limit)

    def _sendable(self, seller: UUID, order_id: UUID, wanted: WantedShipment) -> Order:
        order = self._orders.sold(seller, order_id)
        own = {line.number for line in order.lines}
        strange = (n for n, number in enumerate(wanted.units or ()) if number not in own)
        wrong = {f"/lines/{n}/number": "There is no such line." for n in strange}
        if wrong:
            raise Unprocessable("a line is invalid", wrong)
        return order

    def _ship(
        self, tx: Transaction, planned: Order, shipment_id: UUID, seller: UUID, wanted: WantedShipment
    ) -> Shipment:
        order = tx.orders.lock(planned.id)
        state = part_of(order, seller).state
        if state not in SUB_ORDER_MOVES["partly_fulfilled"]:
            raise IllegalMove(state)
        left = unsent(order, seller)
        sent = left if wanted.units is None else wanted.units
        if any(number > left.get(one, 0) for one, number in sent.items()):
            raise RuleBroken("fewer units than that are left to send", code="nothing_to_send")
        made = Shipment(shipment_id, order.id, seller, wanted.reference, tx.now(), tuple(sorted(sent.items())))
        tx.shipments.add(made)
        whole = sent == left
        event = OrderFulfilled(order.id, seller) if whole else OrderShipped(order.id, seller)
        tx.emit(self._pack(event, at=made.created_at))
        return made

    def _made(self, shipment_id: UUID, wanted: WantedShipment) -> Shipment | None:
        """The shipment made with this key. Raises `KeySpent` if it is not what is `wanted`."""
        made = self._relational.shipments.get(shipment_id)
        if made and (wanted.units not in (None, dict(made.units)) or wanted.reference != made.reference):
            raise KeySpent
        if made and wanted.units is None and not self._was_all_that_was_left(made):
            raise KeySpent
        return made

    def _was_all_that_was_left(self, made: Shipment) -> bool:
        """Whether the shipment was the last one, and left nothing to send."""
        order_id, sold_by = made.order_id, made.seller_id
        left = unsent(self._relational.orders.get([order_id])[order_id], sold_by)
        (last,) = self._relational.shipments.of_order(order_id, seller_id=sold_by, before=None, limit=1)
        return not left and last.id == made.id

    def _refuse(self, tx: Transaction, planned: Order, refusal: UUID, seller: UUID, reason: str) -> Order:
        order = tx.orders.lock(planned.id)
        part = part_of(order, seller)
        if part.state == "placed":
            tx.orders.move(order.id, "refused", seller_id=seller, at=tx.now(), by=refusal, reason=reason)
            free_holds(tx, order.id, of=seller)
            tx.stock.release(order.id, units(planned))
        elif part.state == "paid":
            left = Money(part.total - part.refunded, order.total.currency)
            back = returnable(order, seller)
            refund = Refund(refusal, order.id, seller, left, reason, bool(back), UNWRITTEN)
            self._refunds.give_back(tx, order, refund, back, refuses=True)
        else:
            raise IllegalMove(part.state)
        tx.emit(self._pack(OrderRefused(order.id, seller), at=tx.now()))
        return _as_seen_by(seller, tx.orders.lock(order.id))

    def _refused(self, seller: UUID, order_id: UUID, refusal: UUID, reason: str) -> Order | None:
        """The order that was refused with this key. Raises `KeySpent` if the reason was another one."""
        order = self._orders.ended(seller, order_id, refusal)
        if order and order.sub_orders[0].reason != reason:
            raise KeySpent
        return order


def _as_seen_by(seller: UUID, order: Order) -> Order:
    return seen_by(seller, order) or order
