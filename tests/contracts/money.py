"""Records and helpers for tests of money, stock and orders."""

from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from repositories.records.money import PROVIDER, REFUND, Money, Transfer
from repositories.records.orders import Order, OrderLine, Refund
from repositories.records.past_orders import uniform
from repositories.records.payments import DEPOSIT
from repositories.relational import RelationalStore, Transaction
from repositories.relational.embedded.store import EmbeddedRelational
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import SECOND, do_retrying, sql


def without_triggers(store: RelationalStore) -> None:
    """Disable the triggers, so that a test can alter the ledger like a superuser or a broken disk."""
    if isinstance(store, EmbeddedRelational):
        names = [name for (name,) in sql(store, "SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        sql(store, *(f"DROP TRIGGER {name}" for name in names))
    else:
        sql(store, *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ("transfers", "entries")))


def transfer(debit: UUID, credit: UUID, amount: int, currency: str = "EUR", **changes: Any) -> Transfer:
    kind = DEPOSIT if debit == PROVIDER else "transfer"
    made = Transfer(uuid4(), kind, debit, credit, Money(amount, currency), NOW)
    return replace(made, **changes) if changes else made


def held(debit: UUID, credit: UUID, amount: int, currency: str = "EUR", **changes: Any) -> Transfer:
    return replace(transfer(debit, credit, amount, currency, phase="hold", expires_at=NOW + SECOND), **changes)


def written(store: RelationalStore, one: Transfer) -> Transfer:
    """The transfer with the time that the store has set."""
    return replace(one, created_at=store.ledger.get([one.id])[one.id].created_at)


def wallet(store: RelationalStore, amount: int = 0, currency: str = "EUR") -> UUID:
    """A new owner with this balance."""
    owner = uuid4()
    if amount:
        deposit = transfer(PROVIDER, owner, amount, currency)
        do_retrying(store, lambda unit: unit.ledger.transfer(deposit))
    return owner


def balances(store: RelationalStore, owner: UUID) -> dict[str, tuple[int, int]]:
    return {one.currency: (one.posted, one.held) for one in store.ledger.wallet(owner)}


def line(product: UUID, quantity: int = 1, unit_price: int = 5, **changes: Any) -> OrderLine:
    made = OrderLine(product, 3, "Lamp \U0001f4a1", uuid4(), unit_price, quantity)
    return replace(made, **changes) if changes else made


def order(*lines: OrderLine, **changes: Any) -> Order:
    """An order whose sub-orders all have the state of the order."""
    lines = lines or (line(uuid4()),)
    total = sum(one.unit_price * one.quantity for one in lines)
    made = Order(uuid4(), uuid4(), Money(total, "EUR"), lines, NOW)
    return uniform(replace(made, **changes))


def refund(one: Order, amount: int | None = None, **changes: Any) -> Refund:
    """A refund by the seller of the first line, by default of the order's total."""
    money = Money(one.total.amount if amount is None else amount, one.total.currency)
    made = Refund(uuid4(), one.id, one.lines[0].seller_id, money, "It broke.", restock=False, created_at=NOW)
    return replace(made, **changes) if changes else made


def give_back(
    store: RelationalStore,
    one: Order,
    amount: int | None = None,
    *,
    back: dict[int, int] | None = None,
    refuses: bool = False,
    **changes: Any,
) -> Refund:
    """Refund a part of an order, from money deposited for its seller.

    The refund has the time of its transfer, unless `changes` has `created_at`.
    """

    def work(unit: Transaction) -> Refund:
        made = refund(one, amount, **changes)
        unit.orders.lock(one.id)
        if made.amount.amount:
            own = transfer(PROVIDER, made.seller_id, made.amount.amount + 1)
            moved = Transfer(made.id, REFUND, made.seller_id, one.buyer_id, made.amount, order_id=one.id)
            unit.ledger.transfer(own)
            made = replace(made, **{"created_at": unit.ledger.transfer(moved).transfer.created_at} | changes)
        unit.refunds.add(made, back, refuses=refuses)
        return made

    return do_retrying(store, work)


def buy(store: RelationalStore, state: str) -> Order:
    """Place an order of two products from two sellers, with stock, and move it to `state`."""
    products: list[UUID] = [uuid4(), uuid4()]
    first = line(products[0], 2)
    one = order(first, line(products[1], 1), replace(first, quantity=1))
    with store.transaction() as unit:
        for product in products:
            unit.stock.put(product, 5)
        unit.orders.add(one)
        unit.stock.reserve(one.id, {products[0]: 3, products[1]: 1}, expires_at=NOW)
        if state == "paid":
            unit.stock.commit(one.id, at=NOW)
            unit.orders.move(one.id, "paid", at=NOW)
        if state == "cancelled":
            unit.stock.release(one.id)
            unit.orders.move(one.id, "cancelled", at=NOW)
    return one
