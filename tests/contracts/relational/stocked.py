"""Stock and reservations for tests."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from repositories.records.orders import Stock
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import SECOND, do, do_retrying

UNTIL = NOW + SECOND


def stocked(store: RelationalStore, units: int) -> UUID:
    product = uuid4()
    do(store, lambda unit: unit.stock.put(product, units))
    return product


def reserve(store: RelationalStore, units: Mapping[UUID, int]) -> UUID:
    order = uuid4()
    do_retrying(store, lambda unit: unit.stock.reserve(order, units, expires_at=UNTIL))
    return order


def level(store: RelationalStore, product: UUID) -> Stock:
    return store.stock.levels([product])[product]
