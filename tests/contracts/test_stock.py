"""The contract of the stock."""

import contextlib
from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import pytest
from sqlalchemy import BigInteger, bindparam, update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Conflict, Inconsistent, Invalid, NotFound, Short, Stale
from repositories.money_records import Stock
from repositories.relational import RelationalStore, Transaction
from repositories.relational.money import stock_writes
from repositories.relational.schema.columns import ID
from repositories.relational.schema.money_tables import reservations
from repositories.relational.schema.tables import stock
from tests.contracts.money import LARGEST, MICROSECOND, SECOND, do, sql, surely, together
from tests.contracts.relational_store import NOW

UNTIL = NOW + SECOND


class TestPut:
    def test_sets_and_counts_versions(self, relational: RelationalStore) -> None:
        product = uuid4()
        assert relational.stock.levels([product]) == {}
        assert do(relational, lambda unit: unit.stock.put(product, 5)) == Stock(product, 5, 0, 0, 1)
        assert do(relational, lambda unit: unit.stock.put(product, 5)).version == 2
        assert do(relational, lambda unit: unit.stock.put(product, 8, if_version=2)) == Stock(product, 8, 0, 0, 3)
        for version in (0, 2, 4):
            with pytest.raises(Stale):
                do(relational, lambda unit, v=version: unit.stock.put(product, 1, if_version=v))  # type: ignore[misc]  # default binds
        assert relational.stock.levels([product, uuid4()]) == {product: Stock(product, 8, 0, 0, 3)}

    def test_version_0_means_no_stock(self, relational: RelationalStore) -> None:
        product = uuid4()
        with pytest.raises(Stale):
            do(relational, lambda unit: unit.stock.put(product, 1, if_version=1))
        assert do(relational, lambda unit: unit.stock.put(product, 1, if_version=0)).version == 1

    def test_refuses_less_than_is_reserved(self, relational: RelationalStore) -> None:
        product = stocked(relational, 5)
        reserve(relational, {product: 3})
        with pytest.raises(Short) as caught:
            do(relational, lambda unit: unit.stock.put(product, 2))
        assert caught.value.product_id == product
        with pytest.raises(Short):
            do(relational, lambda unit: unit.stock.put(product, 2, if_version=1))
        assert do(relational, lambda unit: unit.stock.put(product, 3)).available == 0

    def test_clear_leaves_the_reserved(self, relational: RelationalStore) -> None:
        product = stocked(relational, 5)
        reserve(relational, {product: 3})
        for _ in range(2):
            do(relational, lambda unit: unit.stock.clear(product))
        assert level(relational, product) == Stock(product, 3, 3, 0, 2)
        do(relational, lambda unit: unit.stock.clear(uuid4()))

    def test_a_sale_makes_a_version_stale(self, relational: RelationalStore) -> None:
        product = stocked(relational, 5)
        order = reserve(relational, {product: 1})
        assert level(relational, product).version == 1
        do(relational, lambda unit: unit.stock.commit(order, at=NOW))
        with pytest.raises(Stale):
            do(relational, lambda unit: unit.stock.put(product, 9, if_version=1))

    def test_64_bits(self, relational: RelationalStore) -> None:
        product = stocked(relational, LARGEST)
        order = reserve(relational, {product: LARGEST})
        do(relational, lambda unit: unit.stock.commit(order, at=NOW))
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.stock.put(product, 1))
        assert level(relational, product) == Stock(product, 0, 0, LARGEST, 2**40)


def test_a_transaction_notes_the_products_it_touched(relational: RelationalStore) -> None:
    """A failed transaction notes them too: its outcome may be unknown, so the cached units must be dropped."""
    one, other, third = stocked(relational, 5), stocked(relational, 5), uuid4()
    order, cancelled = reserve(relational, {one: 2, other: 1}), reserve(relational, {other: 1})
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
        with contextlib.suppress(Short, NotFound), relational.transaction() as unit:
            touched = unit.stock.touched
            assert touched == set()
            write(unit)
        assert touched == expected


class TestReservations:
    def test_reserved_then_sold_then_back(self, relational: RelationalStore) -> None:
        one, other = stocked(relational, 5), stocked(relational, 5)
        order = reserve(relational, {one: 2, other: 5})
        assert relational.stock.available([one, other]) == {one: 3, other: 0}
        assert do(relational, lambda unit: unit.stock.commit(order, at=NOW)) == {one: 2, other: 5}
        assert do(relational, lambda unit: unit.stock.commit(order, at=NOW)) == {}
        assert do(relational, lambda unit: unit.stock.release(order)) == {}
        assert level(relational, one) == Stock(one, 3, 0, 2, 3)
        assert do(relational, lambda unit: unit.stock.return_sold(order, {other: 1})) == {other: 1}
        assert level(relational, other) == Stock(other, 1, 0, 4, 7)
        assert do(relational, lambda unit: unit.stock.return_sold(order)) == {one: 2, other: 4}
        assert do(relational, lambda unit: unit.stock.return_sold(order)) == {}
        assert level(relational, other) == Stock(other, 5, 0, 0, 11)
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.stock.return_sold(order, {other: 1}))

    def test_reserved_then_released(self, relational: RelationalStore) -> None:
        one, other = stocked(relational, 5), stocked(relational, 5)
        order = reserve(relational, {one: 2, other: 5})
        assert do(relational, lambda unit: unit.stock.release(order)) == {one: 2, other: 5}
        assert do(relational, lambda unit: unit.stock.release(order)) == {}
        assert do(relational, lambda unit: unit.stock.commit(order, at=NOW)) == {}
        assert level(relational, other) == Stock(other, 5, 0, 0, 1)
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.stock.return_sold(order, {one: 1}))

    def test_all_or_nothing_and_names_the_short_product(self, relational: RelationalStore) -> None:
        first, second, third = sorted(stocked(relational, 5) for _ in range(3))
        with pytest.raises(Short) as caught:
            reserve(relational, {third: 6, second: 6, first: 5})
        assert caught.value.product_id == second
        assert set(relational.stock.available([first, second, third]).values()) == {5}
        unknown = uuid4()
        with pytest.raises(Short) as caught:
            reserve(relational, {unknown: 1})
        assert caught.value.product_id == unknown

    @pytest.mark.parametrize("units", [0, -1, LARGEST + 1])
    def test_refuses_invalid_numbers_of_units(self, relational: RelationalStore, units: int) -> None:
        product = stocked(relational, 5)
        with pytest.raises((Invalid, Short)):
            reserve(relational, {product: units})
        assert level(relational, product).reserved == 0

    def test_an_order_reserves_only_once(self, relational: RelationalStore) -> None:
        product = stocked(relational, 5)
        order = reserve(relational, {product: 1})
        with pytest.raises(Conflict) as caught:
            do(relational, lambda unit: unit.stock.reserve(order, {product: 1}, expires_at=UNTIL))
        assert caught.value.field == "id"
        assert level(relational, product).reserved == 1

    def test_the_moment_of_expiry(self, relational: RelationalStore) -> None:
        one, other = stocked(relational, 5), stocked(relational, 5)
        early = uuid4()
        due = NOW - 99 * SECOND
        do(relational, lambda unit: unit.stock.reserve(early, {one: 1, other: 1}, expires_at=due))
        earlier = uuid4()
        do(relational, lambda unit: unit.stock.reserve(earlier, {one: 1}, expires_at=due - SECOND))
        assert relational.stock.due_reservations(now=due - MICROSECOND, limit=9) == [earlier]
        assert relational.stock.due_reservations(now=due, limit=9) == [earlier, early]
        assert relational.stock.due_reservations(now=due, limit=1) == [earlier]
        do(relational, lambda unit: unit.stock.release(earlier))
        do(relational, lambda unit: unit.stock.commit(early, at=NOW))
        assert relational.stock.due_reservations(now=due, limit=9) == []


class TestRaces:
    def test_the_last_unit(self, relational: RelationalStore) -> None:
        for _ in range(5):
            product = stocked(relational, 1)
            ends = together([lambda product=product: reserve(relational, {product: 1})] * 20)  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, UUID) for end in ends) == 1
            assert sum(isinstance(end, Short) for end in ends) == 19
            assert level(relational, product) == Stock(product, 1, 1, 0, 1)

    @pytest.mark.parametrize("products", [1, 3])
    def test_waiting_reservations_get_their_units(self, relational: RelationalStore, products: int) -> None:
        wanted = dict.fromkeys((stocked(relational, 20) for _ in range(products)), 1)
        ends = together([lambda: reserve(relational, wanted)] * 20)
        assert [type(end) for end in ends] == [UUID] * 20
        assert {one: level(relational, one).reserved for one in wanted} == dict.fromkeys(wanted, 20)

    def test_crossed_orders_never_deadlock(self, relational: RelationalStore) -> None:
        one, other = stocked(relational, 1000), stocked(relational, 1000)

        def buy(*products: UUID) -> None:
            for turn in range(15):
                order = uuid4()
                units = dict.fromkeys(products, 1)
                do(relational, lambda unit: unit.stock.reserve(order, units, expires_at=UNTIL))  # noqa: B023  - called in its iteration
                if turn % 3:
                    do(relational, lambda unit: unit.stock.commit(order, at=NOW))  # noqa: B023  - called in its iteration
                else:
                    do(relational, lambda unit: unit.stock.release(order))  # noqa: B023  - called in its iteration

        assert together([lambda: buy(one, other), lambda: buy(other, one)] * 2) == [None] * 4
        for product in (one, other):
            found = level(relational, product)
            assert (found.on_hand, found.reserved, found.sold) == (960, 0, 40)

    def test_orders_of_many_products(self, relational: RelationalStore) -> None:
        many = {stocked(relational, 5): 1 + turn % 5 for turn in range(19)}
        reserve(relational, many)
        assert {one: level(relational, one).reserved for one in many} == many
        for short in sorted(many)[:9:4] + sorted(many)[-1:]:
            wanted = dict.fromkeys(many, 0) | {one: 5 - number for one, number in many.items()} | {short: 5}
            with pytest.raises(Short) as refused:
                reserve(relational, {one: number for one, number in wanted.items() if number})
            assert refused.value.product_id == short
        assert {one: level(relational, one).reserved for one in many} == many

    def test_commit_and_release_exclude_each_other(self, relational: RelationalStore) -> None:
        for _ in range(5):
            product = stocked(relational, 5)
            order = reserve(relational, {product: 2})
            sell = [lambda: surely(relational, lambda unit: unit.stock.commit(order, at=NOW))] * 3  # noqa: B023  - called in its iteration
            free = [lambda: surely(relational, lambda unit: unit.stock.release(order))] * 3  # noqa: B023  - called in its iteration
            ends = together([*sell, *free])
            assert sorted(map(len, ends)) == [0, 0, 0, 0, 0, 1]  # type: ignore[arg-type]  # errors have no length
            found = level(relational, product)
            assert (found.on_hand + found.sold, found.reserved) == (5, 0)


class TestTheDatabaseItself:
    @pytest.mark.parametrize(
        "change", [{"reserved": 6}, {"reserved": -1}, {"on_hand": 1}, {"on_hand": -1, "reserved": 0}, {"sold": -1}]
    )
    def test_has_checks(self, relational: RelationalStore, change: dict[str, int]) -> None:
        product = stocked(relational, 5)
        reserve(relational, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(stock).where(stock.c.product_id == product).values(**change))

    @pytest.mark.parametrize("change", [{"quantity": 0}, {"returned": 3}, {"returned": -1}])
    def test_has_checks_of_reservations(self, relational: RelationalStore, change: dict[str, int]) -> None:
        product = stocked(relational, 5)
        order = reserve(relational, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(reservations).where(reservations.c.order_id == order).values(**change))

    def test_without_the_condition_the_check_holds(
        self, relational: RelationalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        product = stocked(relational, 5)
        loose = update(stock).where(stock.c.product_id == bindparam("its_id_0", type_=ID))
        loose = loose.values(reserved=stock.c.reserved + bindparam("units_0", type_=BigInteger()))
        monkeypatch.setattr(stock_writes, "_reserve", lambda _: loose.returning(stock.c.product_id))
        with pytest.raises(Inconsistent):
            reserve(relational, {product: 6})
        assert level(relational, product) == Stock(product, 5, 0, 0, 1)

    def test_reservations_need_stock(self, relational: RelationalStore) -> None:
        product = stocked(relational, 5)
        order = reserve(relational, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(reservations).where(reservations.c.order_id == order).values(product_id=uuid4()))


def stocked(store: RelationalStore, units: int) -> UUID:
    product = uuid4()
    do(store, lambda unit: unit.stock.put(product, units))
    return product


def reserve(store: RelationalStore, units: Mapping[UUID, int]) -> UUID:
    order = uuid4()
    surely(store, lambda unit: unit.stock.reserve(order, units, expires_at=UNTIL))
    return order


def level(store: RelationalStore, product: UUID) -> Stock:
    return store.stock.levels([product])[product]
