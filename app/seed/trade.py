"""The trade of a data set: opening deposits, past orders and their payments.

Orders and payments are numbered by age, since the entries of an account get the order in which they are loaded. A
buyer's deposit covers all orders, so no balance falls below 0, with or without refunds.
"""

from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from random import Random
from typing import NamedTuple
from uuid import UUID, uuid5

from msgspec.structs import replace

from app.ids import EPOCH, MICROSECOND, uuid7
from app.seed.draws import Draws, cumulated, zipf
from app.services.money.orders import GRACE
from app.services.money.shares import shares
from repositories.records.money import PROVIDER, REFUND, Balance, Money, Transfer
from repositories.records.orders import Order, OrderLine, OrderState
from repositories.records.past_orders import uniform
from repositories.records.products import Product

# A seeded history has no pending orders: most paid orders are fulfilled.
STATES: tuple[OrderState, ...] = ("fulfilled", "paid", "refunded", "cancelled")
STATE_WEIGHTS = (62, 14, 10, 14)
COMMON, RARE = "EUR", "USD"
RARELY = 0.2
POCKET = (50, 2000)
# The least age of an order: old enough to be settled.
SETTLED = timedelta(minutes=1)
VERSIONS: dict[str, int] = {"cancelled": 2, "paid": 2}


class Market(NamedTuple):
    """The accounts, products and period of trade. Deposits are between `opens` and `starts`, orders until `ends`."""

    account_ids: Sequence[UUID]
    products: Sequence[Product]
    opens: datetime
    starts: datetime
    ends: datetime


class Trade:
    def __init__(self, draws: Draws, orders: int, market: Market) -> None:
        self._draws = draws
        self._orders = orders
        self._market = market
        self._popularity = cumulated(zipf(len(market.products), 0.6))

    def prepare(self) -> None:
        _ = self.order_ids, self.payments, self.deposits, self.balances, self.sold

    @cached_property
    def order_ids(self) -> list[UUID]:
        return [uuid7(self._placed(k), self._draws.number("order id", k)) for k in range(self._orders)]

    def order(self, k: int) -> Order:
        draw = self._draws.stream("order", k)
        lines, currency = self._lines(draw)
        buyer = self._buyer(draw, {line.seller_id for line in lines})
        (state,) = draw.choices(STATES, STATE_WEIGHTS)
        total = sum(line.unit_price * line.quantity for line in lines)
        order = Order(self.order_ids[k], buyer, Money(total, currency), lines, self._placed(k), state)
        return self._in_final_state(order, draw.random() ** 2)

    @cached_property
    def payments(self) -> list[Transfer]:
        """Payments and refunds of all orders, oldest first."""
        made = (transfer for k in range(self._orders) for transfer in _payments(self.order(k)))
        return sorted(made, key=lambda transfer: (transfer.created_at, transfer.id))

    @cached_property
    def deposits(self) -> list[list[Transfer]]:
        """One deposit per account and currency."""
        spent: dict[tuple[UUID, str], int] = {}
        for one in self.payments:
            key = one.debit, one.amount.currency
            spent[key] = spent.get(key, 0) + one.amount.amount * (one.kind != REFUND)
        return [list(self._deposits(k, spent)) for k in range(len(self._market.account_ids))]

    @cached_property
    def balances(self) -> dict[UUID, list[Balance]]:
        """The final balance of each account, by currency."""
        found: dict[UUID, dict[str, int]] = {account_id: {} for account_id in self._market.account_ids}
        for made in (*self.deposits, self.payments):
            for one in made:
                for owner, step in ((one.debit, -one.amount.amount), (one.credit, one.amount.amount)):
                    own = found.setdefault(owner, {})
                    own[one.amount.currency] = own.get(one.amount.currency, 0) + step
        return {owner: [Balance(name, own[name]) for name in sorted(own)] for owner, own in found.items()}

    @cached_property
    def sold(self) -> dict[UUID, int]:
        """Units of each product that were sold and not returned."""
        found = {product.id: 0 for product in self._market.products}
        for order in map(self.order, range(self._orders)):
            for line in order.lines if order.state in {"paid", "fulfilled"} else ():
                found[line.product_id] += line.quantity
        return found

    @cached_property
    def _times(self) -> "array[int]":
        """The times of the orders: increasing microseconds after `starts`."""
        draw = self._draws.stream("order times")
        length = (self._market.ends - SETTLED - self._market.starts) // MICROSECOND
        return array("q", sorted(draw.randrange(length) for _ in range(self._orders)))

    def _placed(self, k: int) -> datetime:
        return self._market.starts + self._times[k] * MICROSECOND

    def _lines(self, draw: Random) -> tuple[tuple[OrderLine, ...], str]:
        """One to three products, all in the currency of the first."""
        products = self._market.products
        drawn = draw.choices(range(len(products)), cum_weights=self._popularity, k=draw.randint(1, 3))
        currency = products[drawn[0]].price.currency
        chosen = [products[n] for n in dict.fromkeys(drawn) if products[n].price.currency == currency]
        if len({product.seller_id for product in chosen}) == len(self._market.account_ids):
            del chosen[1:]
        return tuple(_line(product, draw.choice((1, 1, 1, 2, 3))) for product in chosen), currency

    def _buyer(self, draw: Random, sellers: set[UUID]) -> UUID:
        """A buyer who is none of the sellers."""
        ids = self._market.account_ids
        start = draw.randrange(len(ids))
        return next(ids[n % len(ids)] for n in range(start, start + len(ids)) if ids[n % len(ids)] not in sellers)

    def _in_final_state(self, order: Order, part: float) -> Order:
        at = order.created_at + GRACE
        sellers = len(shares(order))
        if order.state == "cancelled":
            at = order.created_at + GRACE / 2
        elif order.state != "paid":
            at += int((self._market.ends - at) // MICROSECOND * part) * MICROSECOND
        moved = replace(
            order,
            version=VERSIONS.get(order.state, 2 + sellers),
            refunded=order.total.amount if order.state == "refunded" else 0,
            moved_at=at,
        )
        return uniform(moved, paid_at=order.created_at + GRACE)

    def _deposits(self, k: int, spent: dict[tuple[UUID, str], int]) -> Iterator[Transfer]:
        """The deposits of account `k`. Accounts that buy nothing get one too. The id is derived from the amount."""
        draw, owner = self._draws.stream("wallet", k), self._market.account_ids[k]
        at = self._market.opens + (self._market.starts - self._market.opens) * k / len(self._market.account_ids)
        for currency in (COMMON, RARE):
            pocket, has = draw.randint(*POCKET) * 100, draw.random() < RARELY
            needed = spent.get((owner, currency), 0)
            if needed or has or currency == COMMON:
                amount = pocket - -needed // 100 * 100
                number = self._draws.number("deposit id", k, currency, amount)
                yield Transfer(uuid7(at, number), "deposit", PROVIDER, owner, Money(amount, currency), at)


def _line(product: Product, quantity: int) -> OrderLine:
    return OrderLine(product.id, product.version, product.title, product.seller_id, product.price.amount, quantity)


def _payments(order: Order) -> Iterator[Transfer]:
    """The transfers of an order: payments to its sellers, and their refunds."""
    if order.state == "cancelled":
        return
    for seller, amount in sorted(shares(order).items()):
        money, hold = Money(amount, order.total.currency), uuid5(order.id, str(seller))
        paid_at, back_at = order.created_at + GRACE, order.moved_at or EPOCH
        yield Transfer(uuid5(hold, "post"), "order", order.buyer_id, seller, money, paid_at, order.id)
        if order.state == "refunded":
            yield Transfer(uuid5(hold, REFUND), REFUND, seller, order.buyer_id, money, back_at, order.id)
