"""What money, stock and orders should be: a few dictionaries, and what each request does to them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

DECLINED = 40_402


@dataclass
class Wallet:
    posted: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


@dataclass
class Shelf:
    seller: str
    price: int
    on_hand: int
    reserved: int = 0
    sold: int = 0


@dataclass
class Placed:
    buyer: str
    units: Counter[str]
    shares: Counter[str]
    state: str = "placed"
    refunded: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Expected:
    """A status and the problem's code, and what the model becomes of a success; `apply` gets the answer's body."""

    status: int
    code: str = ""
    apply: Callable[[Any], None] = lambda _: None


class Model:
    def __init__(self) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.shelves: dict[str, Shelf] = {}
        self.orders: dict[str, Placed] = {}

    def deposit(self, owner: str, amount: int) -> Expected:
        if amount == DECLINED:
            return Expected(402, "payment_declined")

        def credited(_body: Any) -> None:
            self.wallets[owner].posted += amount

        return Expected(201, "", credited)

    def transfer(self, sender: str, receiver: str, amount: int) -> Expected:
        if sender == receiver:
            return Expected(409, "own_account")
        if self.wallets[sender].available < amount:
            return Expected(409, "insufficient_funds")
        return Expected(201, "", lambda _: self._move(sender, receiver, amount))

    def order(self, buyer: str, lines: Sequence[tuple[str, int]]) -> Expected:
        units, shares = Counter[str](), Counter[str]()
        for product, number in lines:
            units[product] += number
            shares[self.shelves[product].seller] += number * self.shelves[product].price
        if buyer in shares:
            return Expected(409, "own_product")
        if any(self.shelves[p].on_hand - self.shelves[p].reserved < n for p, n in units.items()):
            return Expected(409, "out_of_stock")
        if self.wallets[buyer].available < shares.total():
            return Expected(409, "insufficient_funds")

        def placed(body: Any) -> None:
            self.orders[body["id"]] = Placed(buyer, units, shares)
            self._reserve(units, 1)
            self.wallets[buyer].held += shares.total()

        return Expected(201, "", placed)

    def cancel(self, by: str, order_id: str) -> Expected:
        order = self.orders[order_id]
        return self._refused(order, by, {order.buyer}, {"placed"}) or Expected(200, "", lambda _: self.undo(order))

    def fulfil(self, by: str, order_id: str) -> Expected:
        order = self.orders[order_id]

        def fulfilled(_body: Any) -> None:
            order.state = "fulfilled"

        return self._refused(order, by, set(order.shares), {"paid"}) or Expected(200, "", fulfilled)

    def refund(self, by: str, order_id: str, amount: int | None) -> Expected:
        order = self.orders[order_id]
        refused = self._refused(order, by, set(order.shares), {"paid", "fulfilled"})
        if refused:
            return refused
        left = order.shares[by] - order.refunded[by]
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            return Expected(409, "refund_capped")
        if self.wallets[by].available < wanted:
            return Expected(409, "insufficient_funds")
        return Expected(201, "", lambda _: self._give_back(order, by, wanted))

    def pay(self, order: Placed) -> None:
        order.state = "paid"
        for product, number in order.units.items():
            shelf = self.shelves[product]
            shelf.on_hand, shelf.reserved, shelf.sold = (
                shelf.on_hand - number,
                shelf.reserved - number,
                shelf.sold + number,
            )
        self.wallets[order.buyer].held -= order.shares.total()
        for seller, amount in order.shares.items():
            self._move(order.buyer, seller, amount)

    def undo(self, order: Placed) -> None:
        order.state = "cancelled"
        self._reserve(order.units, -1)
        self.wallets[order.buyer].held -= order.shares.total()

    def _give_back(self, order: Placed, seller: str, amount: int) -> None:
        order.refunded[seller] += amount
        self._move(seller, order.buyer, amount)
        if order.refunded.total() == order.shares.total():
            order.state = "refunded"
        if order.refunded[seller] == order.shares[seller]:
            for product, number in order.units.items():
                shelf = self.shelves[product]
                if shelf.seller == seller:
                    shelf.on_hand, shelf.sold = shelf.on_hand + number, shelf.sold - number

    def _refused(self, order: Placed, by: str, allowed: set[str], states: set[str]) -> Expected | None:
        if by != order.buyer and by not in order.shares:
            return Expected(404, "not_found")
        if by not in allowed:
            return Expected(403, "forbidden")
        return None if order.state in states else Expected(409, "illegal_transition")

    def _reserve(self, units: Counter[str], sign: int) -> None:
        for product, number in units.items():
            self.shelves[product].reserved += sign * number

    def _move(self, sender: str, receiver: str, amount: int) -> None:
        self.wallets[sender].posted -= amount
        self.wallets[receiver].posted += amount
