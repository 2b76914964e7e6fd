"""Orders: place, cancel, fulfil and refund. `settlement.py` pays what was placed.

Atomic: each command is one relational transaction. Placing writes the order, reserves the stock of its lines, holds
the buyer's money for each seller and stores the answer under the idempotency key. Cancelling, paying, fulfilling and
refunding change state, stock and money together, and write the event.

Not atomic: products are in the documents. Prices are read before the transaction and stored on the order with the
product's version. A price changed in between does not change the order; a product withdrawn in between is still sold
from its stock.

After a crash: before the commit nothing is stored. After it the order is placed, and the relay pays it once `due_at`
has passed, or cancels it after `PATIENCE`. The same key gets the lost reply.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid5

from msgspec import Struct

from app.errors import Forbidden, Missing, RuleBroken, Unprocessable
from app.events import OrderCancelled, OrderFulfilled, OrderPlaced, OrderRefunded
from app.services.commands.idempotency import Idempotency, Receipt, Replayed
from app.services.commands.kit import Kit
from app.services.pages.invalidation import Invalidation
from app.services.people.graph import refuse_any_blocked
from repositories.documents import Documents
from repositories.errors import Capped, Contention, IllegalMove
from repositories.money_records import Answer, Order, OrderLine, Transfer
from repositories.records import Money, Product
from repositories.relational import Relational, Transaction

GRACE = timedelta(seconds=2)
PATIENCE = timedelta(minutes=15)
LARGEST = 2**63 - 1
REFUND = "refund"


class Wanted(Struct, frozen=True):
    product_id: UUID
    quantity: int


class Refund(Struct, frozen=True):
    """A planned refund, computed from this version of the order. `left` is the seller's share not yet refunded."""

    order: Order
    transfer: Transfer
    left: int


class Orders:
    """A placed order is paid `grace` after it was placed, so that the buyer may cancel it until then."""

    def __init__(
        self,
        relational: Relational,
        documents: Documents,
        idempotency: Idempotency,
        invalidation: Invalidation,
        kit: Kit,
        grace: timedelta = GRACE,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._idempotency = idempotency
        self._invalidation = invalidation
        self._clock = kit.clock
        self._pack = kit.emitter
        self._grace = grace

    def read(self, account_id: UUID, order_id: UUID) -> Order:
        """For the buyer and the sellers of the order. Raises `Missing`, also for everybody else."""
        order = self._relational.orders.get([order_id]).get(order_id)
        if order is None or account_id not in {order.buyer_id, *sellers(order)}:
            raise Missing("there is no such order")
        return order

    def place(self, buyer: UUID, wanted: Sequence[Wanted], receipt: Receipt[Order]) -> Answer:
        """Raises `Unprocessable`, `RuleBroken` for one's own product, `Forbidden` (`blocked`), `Short`, `Insufficient`.

        And as `Idempotency`. Who blocks while the order is being placed may still get it.
        """
        order_id = receipt.attempt.id("order")
        with self._drop_stock_on_replay(lambda: {w.product_id for w in wanted}):
            return self._idempotency.run(receipt, lambda: self._priced(order_id, buyer, wanted), self._place)

    def cancel(self, account_id: UUID, order_id: UUID, receipt: Receipt[Order]) -> Answer:
        """By the buyer, before it is paid. Raises `Missing`, `Forbidden`, `IllegalMove`, and as `Idempotency`."""
        with self._drop_stock_on_replay(lambda: units(self.read(account_id, order_id))):
            return self._idempotency.run(receipt, lambda: self._bought(account_id, order_id), self.cancel_placed)

    def fulfil(self, account_id: UUID, order_id: UUID, receipt: Receipt[Order]) -> Answer:
        """By one of its sellers, once it is paid. Raises as `cancel`."""
        return self._idempotency.run(receipt, lambda: self._sold(account_id, order_id), self._fulfil)

    def refund(self, account_id: UUID, order_id: UUID, amount: Money | None, receipt: Receipt[Order]) -> Answer:
        """By a seller, of that seller's share: `amount`, or all that is left. Raises `Capped`, and as `cancel`.

        When a share is refunded completely, its units return to stock. When all shares are, the order is `refunded`.
        """
        transfer_id = receipt.attempt.id(REFUND)
        with self._drop_stock_on_replay(lambda: units(self.read(account_id, order_id))):
            return self._idempotency.run(
                receipt, lambda: self._planned_refund(transfer_id, account_id, order_id, amount), self._refund
            )

    def cancel_placed(self, tx: Transaction, order: Order) -> Order:
        """Cancel a placed order inside `tx`: free its stock and its holds. Raises `IllegalMove`."""
        now = self._clock()
        tx.orders.lock(order.id)
        cancelled = tx.orders.move(order.id, ["placed"], "cancelled", at=now)
        tx.stock.release(order.id)
        for hold in tx.ledger.open_holds(order.id):
            tx.ledger.void(uuid5(hold.id, "void"), hold.id, at=now)
        tx.emit(self._pack(OrderCancelled(order.id)))
        return cancelled

    @contextmanager
    def _drop_stock_on_replay(self, product_ids: Callable[[], Collection[UUID]]) -> Iterator[None]:
        """On a replay, drop the products' stock from the cache: the first attempt may have crashed before it did so."""
        try:
            yield
        except Replayed:
            self._invalidation.forget(self._invalidation.stock(product_ids()))
            raise

    def _priced(self, order_id: UUID, buyer: UUID, wanted: Sequence[Wanted]) -> Order:
        catalogue = self._documents.products.get({w.product_id for w in wanted})
        _check(wanted, catalogue, lambda p: p is not None, "there is no such product")
        currency = catalogue[wanted[0].product_id].price.currency
        _check(wanted, catalogue, lambda p: p is not None and p.price.currency == currency, "another currency")
        sold_by = {p.seller_id for p in catalogue.values()}
        if buyer in sold_by:
            raise RuleBroken("one's own products cannot be bought", code="own_product")
        relations = self._relational.graph.relations(buyer, sold_by)
        _check(
            wanted, catalogue, lambda p: p is not None and not relations[p.seller_id].gone, "there is no such product"
        )
        refuse_any_blocked(relations)
        lines = tuple(_line(catalogue[w.product_id], w.quantity) for w in wanted)
        total = sum(line.unit_price * line.quantity for line in lines)
        if total > LARGEST or sum(line.quantity for line in lines) > LARGEST:
            raise Unprocessable("the total is beyond 64 bits", {"/lines": "Too much."})
        now = self._clock()
        return Order(order_id, buyer, Money(total, currency), lines, now, due_at=now + self._grace)

    def _place(self, tx: Transaction, order: Order) -> Order:
        ends = order.created_at + PATIENCE
        tx.orders.add(order)
        tx.stock.reserve(order.id, units(order), expires_at=ends)
        for seller, amount in sorted(shares(order).items()):
            if amount:
                hold, money = uuid5(order.id, str(seller)), Money(amount, order.total.currency)
                tx.ledger.hold(
                    Transfer(
                        hold,
                        "order",
                        order.buyer_id,
                        seller,
                        money,
                        order.created_at,
                        order.id,
                        phase="hold",
                        expires_at=ends,
                    )
                )
        tx.emit(self._pack(OrderPlaced(order.id, order.buyer_id)))
        return order

    def _fulfil(self, tx: Transaction, order: Order) -> Order:
        tx.orders.lock(order.id)
        fulfilled = tx.orders.move(order.id, ["paid"], "fulfilled", at=self._clock())
        tx.emit(self._pack(OrderFulfilled(order.id)))
        return fulfilled

    def _planned_refund(self, transfer_id: UUID, seller: UUID, order_id: UUID, amount: Money | None) -> Refund:
        """Reads the order before its transfers: `_refund` notices a refund in between by the order's version."""
        order = self._sold(seller, order_id)
        if order.state not in {"paid", "fulfilled"}:
            raise IllegalMove(order.state)
        if amount and amount.currency != order.total.currency:
            raise Unprocessable("the order is in another currency", {"/amount/currency": "Must be the order's."})
        made = self._relational.ledger.of_order(order_id)
        back = sum(t.amount.amount for t in made if t.kind == REFUND and t.debit == seller)
        left = shares(order)[seller] - back
        wanted = amount.amount if amount else left
        if wanted > left or (left == 0 < order.total.amount):
            raise Capped(left)
        money = Money(wanted, order.total.currency)
        return Refund(
            order, Transfer(transfer_id, REFUND, seller, order.buyer_id, money, self._clock(), order_id), left
        )

    def _refund(self, tx: Transaction, wanted: Refund) -> Order:
        order, amount = tx.orders.lock(wanted.order.id), wanted.transfer.amount.amount
        if order.version != wanted.order.version:
            raise Contention("the order has changed meanwhile")
        now = self._clock()
        if order.refunded + amount == order.total.amount:
            order = tx.orders.move(order.id, ["paid", "fulfilled"], "refunded", at=now)
            tx.stock.return_sold(order.id)
        else:
            order = tx.orders.refund(order.id, amount, at=now)
            if amount == wanted.left:
                tx.stock.return_sold(order.id, units(order, of=wanted.transfer.debit))
        if amount:
            tx.ledger.transfer(wanted.transfer)
        tx.emit(self._pack(OrderRefunded(order.id, amount, wanted.transfer.debit)))
        return order

    def _bought(self, account_id: UUID, order_id: UUID) -> Order:
        order = self.read(account_id, order_id)
        if account_id != order.buyer_id:
            raise Forbidden("only the buyer may do this")
        return order

    def _sold(self, account_id: UUID, order_id: UUID) -> Order:
        order = self.read(account_id, order_id)
        if account_id not in sellers(order):
            raise Forbidden("only a seller of the order may do this")
        return order


def sellers(order: Order) -> set[UUID]:
    return {line.seller_id for line in order.lines}


def shares(order: Order) -> Counter[UUID]:
    """The amount each seller is paid, in minor units."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        found[line.seller_id] += line.unit_price * line.quantity
    return found


def units(order: Order, *, of: UUID | None = None) -> Counter[UUID]:
    """Units per product, summed over the lines of one seller or of all."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        if of in {None, line.seller_id}:
            found[line.product_id] += line.quantity
    return found


def _line(product: Product, quantity: int) -> OrderLine:
    return OrderLine(product.id, product.version, product.title, product.seller_id, product.price.amount, quantity)


def _check(
    wanted: Sequence[Wanted],
    catalogue: dict[UUID, Product],
    good: Callable[[Product | None], bool],
    problem: str,
) -> None:
    wrong = {f"/lines/{n}/product_id": problem for n, w in enumerate(wanted) if not good(catalogue.get(w.product_id))}
    if wrong:
        raise Unprocessable(f"a line does not fit: {problem}", wrong)
