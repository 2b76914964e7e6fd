"""Refunds: a seller gives back money of an order, with or without the units.

A refund is one relational transaction with the order locked. The amount left is the total of the seller's sub-order
minus its `refunded`, which is the sum of its refund transfers. The new transfer, the row of the refund and this sum are
written together. Transfer and refund share an id, which is derived from the idempotency key, so a repeated key always
finds the refund.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import KeySpent, Missing, Unprocessable
from app.events import OrderRefunded
from app.services.commands.idempotency import Idempotency, Receipt
from app.services.commands.kit import Kit
from app.services.money.orders import Orders
from app.services.money.postings import created
from app.services.money.shares import by_product, part_of, returnable, units
from repositories.errors import Capped, IllegalMove
from repositories.records.graph import TimeCursor
from repositories.records.idempotency import Answer
from repositories.records.money import REFUND, UNWRITTEN, Money, Transfer
from repositories.records.orders import SUB_ORDER_MOVES, Order, Refund
from repositories.relational import RelationalStore, Transaction


class WantedRefund(Struct, frozen=True):
    """`amount` None means all that is left of the seller's share; `restock` None means yes if that leaves nothing.

    Restocking returns the units that were not sent or, if all were sent, those that were sent.
    """

    amount: Money | None
    reason: str
    restock: bool | None


class Refunds:
    def __init__(self, relational: RelationalStore, idempotency: Idempotency, orders: Orders, kit: Kit) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._orders = orders
        self._pack = kit.emitter

    def refund(self, seller: UUID, order_id: UUID, wanted: WantedRefund, receipt: Receipt[Refund]) -> Answer:
        """Refund a part of the seller's own share. Once all of it is refunded, the sub-order is `refunded`.

        Raises `Missing`, `Forbidden`, `Unprocessable`, `IllegalMove`, `Capped`, also if there is nothing to give back,
        `Insufficient`, and what `Idempotency` raises.
        """
        refund_id = receipt.attempt.id(REFUND)
        with self._orders.drop_stock_on_replay(lambda: units(self._orders.read(seller, order_id))):
            return self._idempotency.run(
                receipt,
                lambda: self._refundable(seller, order_id, wanted),
                lambda tx, order: self._refund(tx, order, refund_id, seller, wanted),
                lambda: self._made(refund_id, wanted),
            )

    def of_order(self, account_id: UUID, order_id: UUID, *, before: TimeCursor | None, limit: int) -> Sequence[Refund]:
        """All refunds for the buyer, their own for a seller, newest first. Raises `Missing`, also for all others."""
        own = self._orders.own_part(account_id, order_id)
        return self._relational.refunds.of_order(order_id, seller_id=own, before=before, limit=limit)

    def read(self, account_id: UUID, order_id: UUID, refund_id: UUID) -> Refund:
        """A refund, for the buyer and the seller who gave it. Raises `Missing`, also for all others."""
        own, refund = self._orders.own_part(account_id, order_id), self._relational.refunds.get(refund_id)
        if refund is None or refund.order_id != order_id or own not in {None, refund.seller_id}:
            raise Missing("there is no such refund")
        return refund

    def _refundable(self, seller: UUID, order_id: UUID, wanted: WantedRefund) -> Order:
        order = self._orders.sold(seller, order_id)
        if wanted.amount and wanted.amount.currency != order.total.currency:
            raise Unprocessable("the order is in another currency", {"/amount/currency": "Must be the order's."})
        return order

    def _refund(self, tx: Transaction, planned: Order, refund_id: UUID, seller: UUID, wanted: WantedRefund) -> Refund:
        order = tx.orders.lock(planned.id)
        part = part_of(order, seller)
        if part.state not in SUB_ORDER_MOVES["refunded"]:
            raise IllegalMove(part.state)
        left, back = part.total - part.refunded, returnable(order, seller)
        amount = wanted.amount.amount if wanted.amount else left
        restock = bool(back) and (amount == left if wanted.restock is None else wanted.restock)
        if amount > left or not (amount or restock):
            raise Capped(left)
        money = Money(amount, order.total.currency)
        refund = self.give_back(
            tx, order, Refund(refund_id, order.id, seller, money, wanted.reason, restock, UNWRITTEN), back
        )
        tx.emit(self._pack(OrderRefunded(order.id, amount, seller), at=refund.created_at))
        return refund

    def give_back(
        self, tx: Transaction, order: Order, refund: Refund, back: dict[int, int], *, refuses: bool = False
    ) -> Refund:
        """In `tx`, with the order locked: return the units in `back` if the refund restocks, move the money, and store
        the refund. `back` is by line number.
        """
        back = back if refund.restock else {}
        now, amount = tx.now(), refund.amount
        if amount.amount:
            moved = Transfer(refund.id, REFUND, refund.seller_id, order.buyer_id, amount, order_id=order.id)
            now = created(tx.ledger.transfer(moved)).created_at
        if back:
            tx.stock.return_sold(order.id, by_product(order, back))
        refund = replace(refund, created_at=now, units=sum(back.values()))
        tx.refunds.add(refund, back, refuses=refuses)
        return refund

    def _made(self, refund_id: UUID, wanted: WantedRefund) -> Refund | None:
        """The refund made with this key. Raises `KeySpent` if it is not what is `wanted`."""
        refund = self._relational.refunds.get(refund_id)
        if refund and (wanted.amount not in {None, refund.amount} or wanted.reason != refund.reason):
            raise KeySpent
        if refund and wanted.amount is None and not self._was_all_that_was_left(refund):
            raise KeySpent
        if refund and wanted.restock not in {None, refund.restock} and not self._was_restocked_earlier(refund, wanted):
            raise KeySpent
        return refund

    def _was_all_that_was_left(self, refund: Refund) -> bool:
        """Whether the refund was the last one of its seller's part, and left nothing to refund."""
        order_id, sold_by = refund.order_id, refund.seller_id
        part = part_of(self._relational.orders.get([order_id])[order_id], sold_by)
        (last,) = self._relational.refunds.of_order(order_id, seller_id=sold_by, before=None, limit=1)
        return part.refunded == part.total and last.id == refund.id

    def _was_restocked_earlier(self, refund: Refund, wanted: WantedRefund) -> bool:
        """Whether the refund asked to restock, but the units had been restocked earlier."""
        mark, sold_by = TimeCursor(refund.created_at, refund.id), refund.seller_id
        former = self._relational.refunds.of_order(refund.order_id, seller_id=sold_by, before=mark, limit=100)
        return wanted.restock is True and any(one.restock for one in former)
