"""The contract of the stock: levels."""

import contextlib
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from repositories.errors import Invalid, NotFound, Short, Stale
from repositories.records.orders import Stock
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational.stocked import UNTIL, level, reserve, stocked
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, do


class TestPut:
    def test_put_sets(self, store: RelationalStore) -> None:
        product, other = uuid4(), uuid4()
        for units in (5, 0, LARGEST, 7):
            do(store, lambda unit, units=units: unit.stock.put(product, units))  # type: ignore[misc]  # default binds
            assert store.stock.available([product, other, product]) == {product: units, other: 0}
        assert store.stock.available([]) == {}

    @pytest.mark.parametrize("units", [-1, LARGEST + 1, -LARGEST - 2, 10**30])
    def test_refuses_invalid_numbers_of_units(self, store: RelationalStore, units: int) -> None:
        product = uuid4()
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.put(product, units))
        do(store, lambda unit: unit.stock.put(product, 1))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.put(product, units))
        assert store.stock.available([product]) == {product: 1}

    def test_sets_and_counts_versions(self, store: RelationalStore) -> None:
        product = uuid4()
        assert store.stock.levels([product]) == {}
        assert do(store, lambda unit: unit.stock.put(product, 5)) == Stock(product, 5, 0, 0, 1)
        assert do(store, lambda unit: unit.stock.put(product, 5)).version == 2
        assert do(store, lambda unit: unit.stock.put(product, 8, if_version=2)) == Stock(product, 8, 0, 0, 3)
        for version in (0, 2, 4):
            with pytest.raises(Stale):
                do(store, lambda unit, v=version: unit.stock.put(product, 1, if_version=v))  # type: ignore[misc]  # default binds
        assert store.stock.levels([product, uuid4()]) == {product: Stock(product, 8, 0, 0, 3)}

    def test_version_0_means_no_stock(self, store: RelationalStore) -> None:
        product = uuid4()
        with pytest.raises(Stale):
            do(store, lambda unit: unit.stock.put(product, 1, if_version=1))
        assert do(store, lambda unit: unit.stock.put(product, 1, if_version=0)).version == 1

    def test_refuses_less_than_is_reserved(self, store: RelationalStore) -> None:
        product = stocked(store, 5)
        reserve(store, {product: 3})
        with pytest.raises(Short) as caught:
            do(store, lambda unit: unit.stock.put(product, 2))
        assert caught.value.product_id == product
        with pytest.raises(Short):
            do(store, lambda unit: unit.stock.put(product, 2, if_version=1))
        assert do(store, lambda unit: unit.stock.put(product, 3)).available == 0

    def test_clear_leaves_the_reserved(self, store: RelationalStore) -> None:
        product = stocked(store, 5)
        reserve(store, {product: 3})
        for _ in range(2):
            do(store, lambda unit: unit.stock.clear(product))
        assert level(store, product) == Stock(product, 3, 3, 0, 2)
        do(store, lambda unit: unit.stock.clear(uuid4()))

    def test_a_sale_makes_a_version_stale(self, store: RelationalStore) -> None:
        product = stocked(store, 5)
        order = reserve(store, {product: 1})
        assert level(store, product).version == 1
        do(store, lambda unit: unit.stock.commit(order, at=NOW))
        with pytest.raises(Stale):
            do(store, lambda unit: unit.stock.put(product, 9, if_version=1))

    def test_64_bits(self, store: RelationalStore) -> None:
        product = stocked(store, LARGEST)
        order = reserve(store, {product: LARGEST})
        do(store, lambda unit: unit.stock.commit(order, at=NOW))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.put(product, 1))
        assert level(store, product) == Stock(product, 0, 0, LARGEST, 2**40)


def test_a_transaction_notes_the_products_it_touched(store: RelationalStore) -> None:
    """A failed transaction notes them too: its outcome may be unknown, so the cached units must be dropped."""
    one, other, third = stocked(store, 5), stocked(store, 5), uuid4()
    order, cancelled = reserve(store, {one: 2, other: 1}), reserve(store, {other: 1})
    writes: list[tuple[Callable[[Transaction], object], set[UUID]]] = [
        (lambda unit: unit.stock.put(third, 5), {third}),
        (lambda unit: unit.stock.clear(third), {third}),
        (lambda unit: unit.stock.reserve(uuid4(), {one: 1, third: 99}, expires_at=UNTIL), {one, third}),
        (lambda unit: unit.stock.commit(order, at=NOW), {one, other}),
        (lambda unit: unit.stock.return_sold(order, {one: 1}), {one}),
        (lambda unit: unit.stock.release(cancelled), {other}),
        (lambda unit: unit.orders.lock(uuid4()), set()),
    ]
    for write, expected in writes:
        touched: set[UUID] = set()
        with contextlib.suppress(Short, NotFound), store.transaction() as unit:
            touched = unit.stock.touched
            assert touched == set()
            write(unit)
        assert touched == expected
