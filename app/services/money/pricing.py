"""The lines and the total of an order, by the offers of its products."""

from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from app.errors import PriceChanged, RuleBroken, Unprocessable
from app.services.money.offers import Offer
from app.services.people.graph import refuse_any_blocked
from repositories.records.graph import Relation
from repositories.records.money import UNWRITTEN, Money
from repositories.records.orders import Order, OrderLine, split

LARGEST = 2**63 - 1
Relations = Callable[[UUID, Collection[UUID]], Mapping[UUID, Relation]]


class Wanted(Struct, frozen=True):
    product_id: UUID
    quantity: int


class Basket(Struct, frozen=True):
    """The lines that a buyer wants to order, and the total that they expect, if they state one."""

    order_id: UUID
    buyer: UUID
    wanted: Sequence[Wanted]
    expected: Money | None

    @property
    def products(self) -> set[UUID]:
        return {one.product_id for one in self.wanted}


def priced(basket: Basket, offers: Mapping[UUID, Offer], relations: Relations) -> Order:
    """The order of a basket. Raises `Unprocessable`, `RuleBroken` (`own_product`, `too_much`), `Forbidden` (`blocked`),
    `PriceChanged`.
    """
    wanted = basket.wanted
    _check(wanted, offers, lambda offer: offer is not None, "there is no such product")
    currency = offers[wanted[0].product_id].price.currency
    _check(wanted, offers, lambda offer: offer is not None and offer.price.currency == currency, "another currency")
    sold_by = {offer.seller_id for offer in offers.values()}
    if basket.buyer in sold_by:
        raise RuleBroken("one's own products cannot be bought", code="own_product")
    to = relations(basket.buyer, sold_by)
    _check(wanted, offers, lambda offer: offer is not None and not to[offer.seller_id].gone, "there is no such product")
    refuse_any_blocked(to)
    lines = tuple(_line(offers[w.product_id], w.quantity, n) for n, w in enumerate(wanted, 1))
    total = sum(line.unit_price * line.quantity for line in lines)
    if total > LARGEST or sum(line.quantity for line in lines) > LARGEST:
        raise RuleBroken("at these prices the total is beyond 64 bits", code="too_much")
    price = Money(total, currency)
    if basket.expected not in {None, price}:
        raise PriceChanged(basket.expected or price, price)
    return Order(basket.order_id, basket.buyer, price, lines, UNWRITTEN, sub_orders=split(lines))


def _line(offer: Offer, quantity: int, number: int) -> OrderLine:
    price = offer.price.amount
    return OrderLine(offer.product_id, offer.version, offer.title, offer.seller_id, price, quantity, number)


def _check(
    wanted: Sequence[Wanted],
    offers: Mapping[UUID, Offer],
    good: Callable[[Offer | None], bool],
    problem: str,
) -> None:
    wrong = {f"/lines/{n}/product_id": problem for n, w in enumerate(wanted) if not good(offers.get(w.product_id))}
    if wrong:
        raise Unprocessable(f"a line is invalid: {problem}", wrong)
