"""Settlement of placed orders, called by the relay.

Once `due_at` has passed, the placed parts of the order are paid in one relational transaction: reserved units become
sold, every hold is posted to its seller, the state becomes `paid`. An order that is not paid within `PATIENCE` is
cancelled, because its holds and reservations have expired. Both lock the order and check its state first, so several
relays, a buyer who cancels and a seller who refuses may run concurrently.
"""

from uuid import UUID, uuid5

from app.events import OrderPaid
from app.services.commands.kit import Kit
from app.services.money.orders import PATIENCE, Orders
from app.services.money.postings import created
from app.services.pages.invalidation import Invalidation
from repositories.records.orders import Order
from repositories.relational import Transaction


class Settlement:
    def __init__(self, invalidation: Invalidation, orders: Orders, kit: Kit) -> None:
        self._invalidation = invalidation
        self._orders = orders
        self._retry = kit.retry
        self._pack = kit.emitter

    def settle(self, order_id: UUID) -> Order:
        """Pay the order, or cancel it after `PATIENCE`. Idempotent. Raises `NotFound`."""
        return self._retry(lambda: self._settle(order_id))

    def _settle(self, order_id: UUID) -> Order:
        with self._invalidation.transaction() as tx:
            order = tx.orders.lock(order_id)
            if order.state != "placed":
                return order
            late = tx.now() >= order.created_at + PATIENCE
            return self._orders.cancel_placed(tx, order) if late else self._pay(tx, order)

    def _pay(self, tx: Transaction, order: Order) -> Order:
        now = tx.now()
        paid = tx.orders.move(order.id, "paid", at=now)
        tx.emit(self._pack(OrderPaid(order.id, order.buyer_id), at=now))
        holds = tx.ledger.open_holds(order.id)
        if len(holds) > 1:
            tx.ledger.lock({order.buyer_id, *(hold.credit for hold in holds)}, order.total.currency)
        for hold in holds:
            created(tx.ledger.post(uuid5(hold.id, "post"), hold.id, at=now))
        tx.stock.commit(order.id, at=now)
        return paid
