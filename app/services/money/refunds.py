"""Refunds: a seller gives back money of an order, with or without the units.

A refund is one relational transaction. With the order locked, what is left of the seller's share is the share minus the
seller's refund transfers. The new transfer, the row of the refund and the order's `refunded`, which is the sum of these
transfers, are written together. The id of transfer and refund is derived from the idempotency key, so the key finds
its refund for ever.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from app.errors import KeySpent, Missing, Unprocessable
from app.events import OrderRefunded
from app.services.commands.idempotency import Idempotency, Receipt
from app.services.commands.kit import Kit
from app.services.money.orders import Orders, shares, units
from app.services.money.postings import created
from repositories.errors import Capped, IllegalMove
from repositories.money_records import REFUND, Answer, Order, OrderMark, Refund, Transfer
from repositories.records import Money
from repositories.relational import Relational, Transaction


class WantedRefund(Struct, frozen=True):
    """`amount` None is all that is left of the seller's share; `restock` None is yes when nothing is left then."""

    amount: Money | None
    reason: str
    restock: bool | None


class Refunds:
    def __init__(self, relational: Relational, idempotency: Idempotency, orders: Orders, kit: Kit) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._orders = orders
        self._clock = kit.clock
        self._pack = kit.emitter

    def refund(self, seller: UUID, order_id: UUID, wanted: WantedRefund, receipt: Receipt[Refund]) -> Answer:
        """By a seller, of that seller's share. When all shares are refunded, the order is `refunded`.

        Raises `Missing`, `Forbidden`, `Unprocessable`, `IllegalMove`, `Capped`, also when there is nothing to give
        back, `Insufficient`, and as `Idempotency`.
        """
        refund_id = receipt.attempt.id(REFUND)
        with self._orders.drop_stock_on_replay(lambda: units(self._orders.read(seller, order_id))):
            return self._idempotency.run(
                receipt,
                lambda: self._refundable(seller, order_id, wanted),
                lambda tx, order: self._refund(tx, order, refund_id, seller, wanted),
                lambda: self._made(refund_id, wanted),
            )

    def of_order(self, account_id: UUID, order_id: UUID, *, before: OrderMark | None, limit: int) -> Sequence[Refund]:
        """All for the buyer, one's own for a seller, newest first. Raises `Missing`, also for everybody else."""
        order = self._orders.read(account_id, order_id)
        seller = None if account_id == order.buyer_id else account_id
        return self._relational.refunds.of_order(order_id, seller_id=seller, before=before, limit=limit)

    def read(self, account_id: UUID, order_id: UUID, refund_id: UUID) -> Refund:
        """For the buyer and the seller who gave it. Raises `Missing`."""
        order, refund = self._orders.read(account_id, order_id), self._relational.refunds.get(refund_id)
        if refund is None or refund.order_id != order_id or account_id not in {order.buyer_id, refund.seller_id}:
            raise Missing("there is no such refund")
        return refund

    def _refundable(self, seller: UUID, order_id: UUID, wanted: WantedRefund) -> Order:
        order = self._orders.sold(seller, order_id)
        if wanted.amount and wanted.amount.currency != order.total.currency:
            raise Unprocessable("the order is in another currency", {"/amount/currency": "Must be the order's."})
        return order

    def _refund(self, tx: Transaction, planned: Order, refund_id: UUID, seller: UUID, wanted: WantedRefund) -> Refund:
        order = tx.orders.lock(planned.id)
        if order.state not in {"paid", "fulfilled"}:
            raise IllegalMove(order.state)
        before = tx.refunds.returned(order.id, seller)
        left = shares(order)[seller] - before.amount
        amount = wanted.amount.amount if wanted.amount else left
        restock = not before.restocked and (amount == left if wanted.restock is None else wanted.restock)
        if amount > left or not (amount or restock):
            raise Capped(left)
        if restock:
            tx.stock.return_sold(order.id, units(order, of=seller))
        now, money = self._clock(), Money(amount, order.total.currency)
        if amount:
            back = Transfer(refund_id, REFUND, seller, order.buyer_id, money, order_id=order.id)
            now = created(tx.ledger.transfer(back)).created_at
        refund = Refund(refund_id, order.id, seller, money, wanted.reason, restock, now)
        tx.refunds.add(refund)
        tx.emit(self._pack(OrderRefunded(order.id, amount, seller)))
        return refund

    def _made(self, refund_id: UUID, wanted: WantedRefund) -> Refund | None:
        """What was refunded with this key. Raises `KeySpent` where it is something else than `wanted`."""
        refund = self._relational.refunds.get(refund_id)
        if refund and (wanted.amount not in {None, refund.amount} or wanted.reason != refund.reason):
            raise KeySpent
        return refund
