"""Orders: place and cancel. `settlement.py` pays placed orders, `fulfilment.py` has the commands of sellers.

Atomic: each command is one relational transaction. Placing writes the order, reserves the stock of its lines, holds
the buyer's money for each seller and stores the answer under the idempotency key. Cancelling and paying change state,
stock and money together, and write the event.

Not atomic: products are in the documents. Prices are remembered, or read before the transaction (`offers.py`), and
stored on the order with the product's version. A price changed in between does not change the order; a product
withdrawn in between is still sold from its stock.

After a crash: before the commit nothing is stored. After it the order is placed, and the relay pays it once `due_at`
has passed, or cancels it after `PATIENCE`. A retry with the same key gets the lost reply, or finds the order once the
reply is no longer kept.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid5

from msgspec.structs import replace

from app.errors import AppError, Forbidden, InProgress, KeyReused, KeySpent, Missing
from app.events import OrderCancelled, OrderPlaced
from app.services.commands.idempotency import Idempotency, Receipt, Replayed
from app.services.commands.kit import Kit
from app.services.money.offers import Offered, Offers
from app.services.money.postings import created
from app.services.money.pricing import Basket, Wanted, priced
from app.services.money.shares import seen_by, units
from app.services.pages.invalidation import Invalidation
from repositories.errors import Contention, Inconsistent, Insufficient, Short, Stale, StoreError, Unavailable
from repositories.records.idempotency import Answer
from repositories.records.money import Money, Transfer
from repositories.records.orders import Order
from repositories.relational import RelationalStore, Transaction

GRACE = timedelta(seconds=2)
PATIENCE = timedelta(minutes=15)


class Orders:
    """A placed order is paid `GRACE` after it was placed, so that the buyer may cancel it until then."""

    def __init__(
        self,
        relational: RelationalStore,
        offers: Offers,
        idempotency: Idempotency,
        invalidation: Invalidation,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._offers = offers
        self._idempotency = idempotency
        self._invalidation = invalidation
        self._pack = kit.emitter

    def read(self, account_id: UUID, order_id: UUID) -> Order:
        """The order as its buyer, or one of its sellers, may see it. Raises `Missing`, also for everybody else."""
        order = self._relational.orders.get([order_id]).get(order_id)
        seen = seen_by(account_id, order) if order else None
        if seen is None:
            raise Missing("there is no such order")
        return seen

    def place(
        self, buyer: UUID, wanted: Sequence[Wanted], receipt: Receipt[Order], *, expected: Money | None = None
    ) -> Answer:
        """Place an order. Raises `Unprocessable`, `RuleBroken` (`own_product`, `too_much`), `Forbidden` (`blocked`),
        `Missing`, `Short`, `Insufficient`, `PriceChanged` if the total is not `expected`, and what `Idempotency`
        raises.

        A block that is made while the order is being placed may come too late to prevent it.
        """
        basket = Basket(receipt.attempt.id("order"), buyer, wanted, expected)
        with self.drop_stock_on_replay(lambda: basket.products):
            return self._place_by_remembered_offers(basket, receipt)

    def cancel(self, account_id: UUID, order_id: UUID, receipt: Receipt[Order]) -> Answer:
        """Cancel an order, for its buyer, before it is paid. Raises `Missing`, `Forbidden`, `IllegalMove`, and what
        `Idempotency` raises.
        """
        cancellation = receipt.attempt.id("cancellation")
        with self.drop_stock_on_replay(lambda: units(self.read(account_id, order_id))):
            return self._idempotency.run(
                receipt,
                lambda: self._bought(account_id, order_id),
                lambda tx, order: self.cancel_placed(tx, order, by=cancellation),
                lambda: self.ended(account_id, order_id, cancellation),
            )

    def sold(self, account_id: UUID, order_id: UUID) -> Order:
        """The order as one of its sellers sees it. Raises `Missing`, and `Forbidden` for its buyer."""
        order = self.read(account_id, order_id)
        if account_id == order.buyer_id:
            raise Forbidden("only a seller of the order may do this")
        return order

    def own_part(self, account_id: UUID, order_id: UUID) -> UUID | None:
        """The account, if it is a seller, who sees only their own part; None for the buyer. Raises `Missing`."""
        return None if self.read(account_id, order_id).buyer_id == account_id else account_id

    def ended(self, account_id: UUID, order_id: UUID, by: UUID) -> Order | None:
        """The order, if the command with this id has ended a part of it."""
        order = self.read(account_id, order_id)
        return order if by in {part.ended_by for part in order.sub_orders} else None

    def cancel_placed(self, tx: Transaction, order: Order, *, by: UUID | None = None) -> Order:
        """Cancel the placed parts of an order, in `tx`: release their stock and their holds. Raises `IllegalMove`."""
        tx.orders.lock(order.id)
        now = tx.now()
        cancelled = tx.orders.move(order.id, "cancelled", at=now, by=by)
        tx.emit(self._pack(OrderCancelled(order.id), at=now))
        free_holds(tx, order.id)
        tx.stock.release(order.id)
        return cancelled

    @contextmanager
    def drop_stock_on_replay(self, product_ids: Callable[[], Collection[UUID]]) -> Iterator[None]:
        """On a replay, drop the products' stock from the cache: the first attempt may have crashed before it did so."""
        try:
            yield
        except Replayed:
            self._invalidation.forget(self._invalidation.stock(product_ids()))
            raise

    def _place_by_remembered_offers(self, basket: Basket, receipt: Receipt[Order]) -> Answer:
        """Place the order by remembered offers; if they are outdated, once more by the documents.

        The reservation raises `Stale` if they are outdated. After any other refusal it is checked whether they are.
        """
        used: list[Offered] = []
        try:
            return self._place_with(basket, receipt, self._offers.of, used)
        except (Contention, Inconsistent, Unavailable, InProgress, KeyReused, KeySpent):
            raise
        except Stale:
            pass
        except (AppError, StoreError):
            remembered = used[-1].remembered if used else {}
            if not remembered or self._offers.are_known(remembered):
                raise
        return self._place_with(basket, receipt, self._offers.read, used)

    def _place_with(
        self,
        basket: Basket,
        receipt: Receipt[Order],
        offers: Callable[[Collection[UUID]], Offered],
        used: list[Offered],
    ) -> Answer:
        """Adds the offers that the order is made of to `used`."""

        def prepare() -> Order:
            used.append(offers(basket.products))
            return priced(basket, used[-1].offers, self._relational.graph.relations)

        with self._short_first(basket.wanted):
            return self._idempotency.run(
                receipt,
                prepare,
                self._place,
                lambda: self._placed(basket.order_id, basket.wanted, basket.expected),
                lambda tx, order: _reserve(tx, order, used[-1]),
            )

    @contextmanager
    def _short_first(self, wanted: Sequence[Wanted]) -> Iterator[None]:
        """If both money and units are lacking, raise `Short` for the units, although they are reserved last."""
        try:
            yield
        except Insufficient:
            needed = Counter[UUID]()
            for one in wanted:
                needed[one.product_id] += one.quantity
            levels = self._relational.stock.levels(needed)
            for product_id, number in sorted(needed.items()):
                if product_id not in levels or levels[product_id].available < number:
                    raise Short(product_id) from None
            raise

    def _placed(self, order_id: UUID, wanted: Sequence[Wanted], expected: Money | None) -> Order | None:
        """The order that was placed with this key. Raises `KeySpent` if its lines or its total are others."""
        order = self._relational.orders.get([order_id]).get(order_id)
        if order and expected not in {None, order.total}:
            raise KeySpent
        if order and [(line.product_id, line.quantity) for line in order.lines] != [
            (w.product_id, w.quantity) for w in wanted
        ]:
            raise KeySpent
        return order

    def _place(self, tx: Transaction, order: Order) -> Order:
        """Raises `Missing` if the buyer was deleted concurrently, and `Contention` if a seller was: the retry does not
        find that seller's products any more.
        """
        parties = {order.buyer_id, *(part.seller_id for part in order.sub_orders)}
        there = tx.graph.begin_keep(parties)
        if order.total.amount:
            tx.ledger.lock({order.buyer_id}, order.total.currency)
        if gone := parties - there():
            raise Missing("the account was deleted meanwhile") if order.buyer_id in gone else Contention
        now = tx.now()
        ends, order = now + PATIENCE, replace(order, created_at=now, due_at=now + GRACE)
        tx.orders.add(order)
        tx.emit(self._pack(OrderPlaced(order.id, order.buyer_id), at=now))
        for part in order.sub_orders:
            if part.total:
                hold, money = uuid5(order.id, str(part.seller_id)), Money(part.total, order.total.currency)
                own = Transfer(hold, "order", order.buyer_id, part.seller_id, money, order_id=order.id, phase="hold")
                created(tx.ledger.hold(replace(own, expires_at=ends)))
        return order

    def _bought(self, account_id: UUID, order_id: UUID) -> Order:
        order = self.read(account_id, order_id)
        if account_id != order.buyer_id:
            raise Forbidden("only the buyer may do this")
        return order


def _reserve(tx: Transaction, order: Order, offered: Offered) -> None:
    """Comes last, since other orders for the same products wait from here to the commit."""
    tx.offers.settle(offered.settled)
    tx.stock.reserve(order.id, units(order), expires_at=order.created_at + PATIENCE, offers=offered.remembered)


def free_holds(tx: Transaction, order_id: UUID, *, of: UUID | None = None) -> None:
    """Void the open holds of an order, or only those for one of its sellers."""
    for hold in tx.ledger.open_holds(order_id):
        if of in {None, hold.credit}:
            created(tx.ledger.void(uuid5(hold.id, "void"), hold.id))
