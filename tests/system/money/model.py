"""A model of money, stock and orders: a few dictionaries, and the effect of each request on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.system.money.payments_model import Expected, Payments, Wallet

# The state of an order, by the first of these states that one of its parts has.
WHOLE = {"placed": "placed", "paid": "paid", "partly_fulfilled": "paid", "fulfilled": "fulfilled"}


@dataclass
class ProductStock:
    seller: str
    price: int
    on_hand: int
    reserved: int = 0
    sold: int = 0


@dataclass
class Line:
    product: str
    quantity: int
    sent: int = 0
    back: int = 0

    @property
    def unsent(self) -> int:
        return max(self.quantity - self.sent - self.back, 0)


@dataclass
class Part:
    """A seller's part of an order, with its lines by number."""

    share: int
    lines: dict[int, Line]
    state: str = "placed"
    paid: bool = False
    refunded: int = 0

    @property
    def unsent(self) -> dict[int, int]:
        return {number: line.unsent for number, line in self.lines.items() if line.unsent}


@dataclass
class PlacedOrder:
    buyer: str
    parts: dict[str, Part]

    @property
    def state(self) -> str:
        states = {part.state for part in self.parts.values()}
        for known, whole in WHOLE.items():
            if known in states:
                return whole
        return "refunded" if any(part.paid for part in self.parts.values()) else "cancelled"


class Model:
    def __init__(self) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.payments = Payments(self.wallets)
        self.stock: dict[str, ProductStock] = {}
        self.orders: dict[str, PlacedOrder] = {}

    def transfer(self, sender: str, receiver: str, amount: int) -> Expected:
        if sender == receiver:
            return Expected(409, "own_account")
        if self.wallets[sender].available < amount:
            return Expected(409, "insufficient_funds")
        return Expected(201, "", lambda _: self._move(sender, receiver, amount))

    def order(self, buyer: str, wanted: Sequence[tuple[str, int]]) -> Expected:
        units, parts = Counter[str](), dict[str, Part]()
        for number, (product, quantity) in enumerate(wanted, 1):
            level = self.stock[product]
            units[product] += quantity
            part = parts.setdefault(level.seller, Part(0, {}))
            part.share += quantity * level.price
            part.lines[number] = Line(product, quantity)
        total = sum(part.share for part in parts.values())
        if buyer in parts:
            return Expected(409, "own_product")
        if any(self.stock[p].on_hand - self.stock[p].reserved < n for p, n in units.items()):
            return Expected(409, "out_of_stock")
        if self.wallets[buyer].available < total:
            return Expected(409, "insufficient_funds")

        def placed(body: Any) -> None:
            self.orders[body["id"]] = PlacedOrder(buyer, parts)
            self._reserve(units, 1)
            self.wallets[buyer].held += total

        return Expected(201, "", placed)

    def cancel(self, by: str, order_id: str) -> Expected:
        order = self.orders[order_id]
        refused = self._refused(order, by, order.buyer)
        if refused:
            return refused
        if order.state != "placed":
            return Expected(409, "illegal_transition")
        return Expected(200, "", lambda _: self.undo(order))

    def ship(self, by: str, order_id: str, units: dict[int, int] | None, status: int = 201) -> Expected:
        """Ship `units` by line number; None: all that are left."""
        order = self.orders[order_id]
        refused = self._refused(order, by, by if by in order.parts else "")
        if refused:
            return refused
        part = order.parts[by]
        if units is not None and units.keys() - part.lines.keys():
            return Expected(422, "validation_failed")
        if part.state not in {"paid", "partly_fulfilled"}:
            return Expected(409, "illegal_transition")
        sent = part.unsent if units is None else units
        if any(part.lines[number].unsent < n for number, n in sent.items()):
            return Expected(409, "nothing_to_send")

        def shipped(_body: Any) -> None:
            for number, n in sent.items():
                part.lines[number].sent += n
            part.state = "partly_fulfilled" if part.unsent else "fulfilled"

        return Expected(status, "", shipped)

    def refuse(self, by: str, order_id: str) -> Expected:
        order = self.orders[order_id]
        refused = self._refused(order, by, by if by in order.parts else "")
        if refused:
            return refused
        part = order.parts[by]
        if part.state == "placed":
            return Expected(200, "", lambda _: self._end(order, by, "refused"))
        if part.state != "paid":
            return Expected(409, "illegal_transition")
        if self.wallets[by].available < part.share - part.refunded:
            return Expected(409, "insufficient_funds")

        def paid_back(_body: Any) -> None:
            self._give_back(order, by, part.share - part.refunded, restock=True)
            part.state = "refused"

        return Expected(200, "", paid_back)

    def refund(self, by: str, order_id: str, amount: int | None, restock: bool | None) -> Expected:  # noqa: FBT001  - as in the body
        order = self.orders[order_id]
        refused = self._refused(order, by, by if by in order.parts else "")
        if refused:
            return refused
        part = order.parts[by]
        if part.state not in {"paid", "partly_fulfilled", "fulfilled"}:
            return Expected(409, "illegal_transition")
        left = part.share - part.refunded
        wanted = left if amount is None else amount
        restocks = bool(_returnable(part)) and (wanted == left if restock is None else restock)
        if wanted > left or not (wanted or restocks):
            return Expected(409, "refund_capped")
        if self.wallets[by].available < wanted:
            return Expected(409, "insufficient_funds")
        return Expected(201, "", lambda _: self._give_back(order, by, wanted, restock=restocks))

    def pay(self, order: PlacedOrder) -> None:
        for seller, part in order.parts.items():
            if part.state == "placed":
                part.state, part.paid = "paid", True
                for line in part.lines.values():
                    level = self.stock[line.product]
                    level.on_hand -= line.quantity
                    level.reserved -= line.quantity
                    level.sold += line.quantity
                self.wallets[order.buyer].held -= part.share
                self._move(order.buyer, seller, part.share)

    def undo(self, order: PlacedOrder) -> None:
        for seller, part in order.parts.items():
            if part.state == "placed":
                self._end(order, seller, "cancelled")

    def _end(self, order: PlacedOrder, seller: str, state: str) -> None:
        part = order.parts[seller]
        part.state = state
        for line in part.lines.values():
            self._reserve(Counter({line.product: line.quantity}), -1)
        self.wallets[order.buyer].held -= part.share

    def _give_back(self, order: PlacedOrder, seller: str, amount: int, *, restock: bool) -> None:
        part = order.parts[seller]
        for number, units in (_returnable(part) if restock else {}).items():
            line = part.lines[number]
            line.back += units
            level = self.stock[line.product]
            level.on_hand, level.sold = level.on_hand + units, level.sold - units
        part.refunded += amount
        self._move(seller, order.buyer, amount)
        if part.refunded == part.share:
            part.state = "refunded"
        elif not part.unsent:
            part.state = "fulfilled"

    def _refused(self, order: PlacedOrder, by: str, allowed: str) -> Expected | None:
        if by != order.buyer and by not in order.parts:
            return Expected(404, "not_found")
        return None if by == allowed else Expected(403, "forbidden")

    def _reserve(self, units: Counter[str], sign: int) -> None:
        for product, number in units.items():
            self.stock[product].reserved += sign * number

    def _move(self, sender: str, receiver: str, amount: int) -> None:
        self.wallets[sender].posted -= amount
        self.wallets[receiver].posted += amount


def _returnable(part: Part) -> dict[int, int]:
    """The units that a refund restocks: those that were not sent; if all were, those that were not restocked yet."""
    left = {number: line.quantity - line.back for number, line in part.lines.items() if line.quantity > line.back}
    return part.unsent or left
