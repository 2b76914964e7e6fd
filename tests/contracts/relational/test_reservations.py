"""The contract of the stock: reservations."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import BigInteger, bindparam, update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Conflict, Inconsistent, Invalid, Short
from repositories.records.orders import Stock
from repositories.relational import RelationalStore
from repositories.relational.money import stock_writes
from repositories.relational.schema.columns import ID
from repositories.relational.schema.money_tables import reservations
from repositories.relational.schema.tables import stock
from tests.contracts.relational.stocked import UNTIL, level, reserve, stocked
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, MICROSECOND, SECOND, do, do_retrying, sql, together


class TestReservations:
    def test_reserved_then_sold_then_back(self, store: RelationalStore) -> None:
        one, other = stocked(store, 5), stocked(store, 5)
        order = reserve(store, {one: 2, other: 5})
        assert store.stock.available([one, other]) == {one: 3, other: 0}
        assert do(store, lambda unit: unit.stock.commit(order, at=NOW)) == {one: 2, other: 5}
        assert do(store, lambda unit: unit.stock.commit(order, at=NOW)) == {}
        assert do(store, lambda unit: unit.stock.release(order)) == {}
        assert level(store, one) == Stock(one, 3, 0, 2, 3)
        assert do(store, lambda unit: unit.stock.return_sold(order, {other: 1})) == {other: 1}
        assert level(store, other) == Stock(other, 1, 0, 4, 7)
        assert do(store, lambda unit: unit.stock.return_sold(order)) == {one: 2, other: 4}
        assert do(store, lambda unit: unit.stock.return_sold(order)) == {}
        assert level(store, other) == Stock(other, 5, 0, 0, 11)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.return_sold(order, {other: 1}))

    def test_reserved_then_released(self, store: RelationalStore) -> None:
        one, other = stocked(store, 5), stocked(store, 5)
        order = reserve(store, {one: 2, other: 5})
        assert do(store, lambda unit: unit.stock.release(order)) == {one: 2, other: 5}
        assert do(store, lambda unit: unit.stock.release(order)) == {}
        assert do(store, lambda unit: unit.stock.commit(order, at=NOW)) == {}
        assert level(store, other) == Stock(other, 5, 0, 0, 1)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.return_sold(order, {one: 1}))

    def test_all_or_nothing_and_names_the_short_product(self, store: RelationalStore) -> None:
        first, second, third = sorted(stocked(store, 5) for _ in range(3))
        with pytest.raises(Short) as caught:
            reserve(store, {third: 6, second: 6, first: 5})
        assert caught.value.product_id == second
        assert set(store.stock.available([first, second, third]).values()) == {5}
        unknown = uuid4()
        with pytest.raises(Short) as caught:
            reserve(store, {unknown: 1})
        assert caught.value.product_id == unknown

    @pytest.mark.parametrize("units", [0, -1, LARGEST + 1])
    def test_refuses_invalid_numbers_of_units(self, store: RelationalStore, units: int) -> None:
        product = stocked(store, 5)
        with pytest.raises((Invalid, Short)):
            reserve(store, {product: units})
        assert level(store, product).reserved == 0

    def test_an_order_reserves_only_once(self, store: RelationalStore) -> None:
        product = stocked(store, 5)
        order = reserve(store, {product: 1})
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.stock.reserve(order, {product: 1}, expires_at=UNTIL))
        assert caught.value.field == "id"
        assert level(store, product).reserved == 1

    def test_the_moment_of_expiry(self, store: RelationalStore) -> None:
        one, other = stocked(store, 5), stocked(store, 5)
        early = uuid4()
        due = NOW - 99 * SECOND
        do(store, lambda unit: unit.stock.reserve(early, {one: 1, other: 1}, expires_at=due))
        earlier = uuid4()
        do(store, lambda unit: unit.stock.reserve(earlier, {one: 1}, expires_at=due - SECOND))
        assert store.stock.due_reservations(now=due - MICROSECOND, limit=9) == [earlier]
        assert store.stock.due_reservations(now=due, limit=9) == [earlier, early]
        assert store.stock.due_reservations(now=due, limit=1) == [earlier]
        do(store, lambda unit: unit.stock.release(earlier))
        do(store, lambda unit: unit.stock.commit(early, at=NOW))
        assert store.stock.due_reservations(now=due, limit=9) == []


class TestRaces:
    def test_the_last_unit(self, store: RelationalStore) -> None:
        for _ in range(5):
            product = stocked(store, 1)
            ends = together([lambda product=product: reserve(store, {product: 1})] * 20)  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, UUID) for end in ends) == 1
            assert sum(isinstance(end, Short) for end in ends) == 19
            assert level(store, product) == Stock(product, 1, 1, 0, 1)

    @pytest.mark.parametrize("products", [1, 3])
    def test_waiting_reservations_get_their_units(self, store: RelationalStore, products: int) -> None:
        wanted = dict.fromkeys((stocked(store, 20) for _ in range(products)), 1)
        ends = together([lambda: reserve(store, wanted)] * 20)
        assert [type(end) for end in ends] == [UUID] * 20
        assert {one: level(store, one).reserved for one in wanted} == dict.fromkeys(wanted, 20)

    def test_crossed_orders_never_deadlock(self, store: RelationalStore) -> None:
        one, other = stocked(store, 1000), stocked(store, 1000)

        def buy(*products: UUID) -> None:
            for turn in range(15):
                order = uuid4()
                units = dict.fromkeys(products, 1)
                do(store, lambda unit: unit.stock.reserve(order, units, expires_at=UNTIL))  # noqa: B023  - called in its iteration
                if turn % 3:
                    do(store, lambda unit: unit.stock.commit(order, at=NOW))  # noqa: B023  - called in its iteration
                else:
                    do(store, lambda unit: unit.stock.release(order))  # noqa: B023  - called in its iteration

        assert together([lambda: buy(one, other), lambda: buy(other, one)] * 2) == [None] * 4
        for product in (one, other):
            found = level(store, product)
            assert (found.on_hand, found.reserved, found.sold) == (960, 0, 40)

    def test_orders_of_many_products(self, store: RelationalStore) -> None:
        many = {stocked(store, 5): 1 + turn % 5 for turn in range(19)}
        reserve(store, many)
        assert {one: level(store, one).reserved for one in many} == many
        for short in sorted(many)[:9:4] + sorted(many)[-1:]:
            wanted = dict.fromkeys(many, 0) | {one: 5 - number for one, number in many.items()} | {short: 5}
            with pytest.raises(Short) as refused:
                reserve(store, {one: number for one, number in wanted.items() if number})
            assert refused.value.product_id == short
        assert {one: level(store, one).reserved for one in many} == many

    def test_commit_and_release_exclude_each_other(self, store: RelationalStore) -> None:
        for _ in range(5):
            product = stocked(store, 5)
            order = reserve(store, {product: 2})
            sell = [lambda: do_retrying(store, lambda unit: unit.stock.commit(order, at=NOW))] * 3  # noqa: B023  - called in its iteration
            free = [lambda: do_retrying(store, lambda unit: unit.stock.release(order))] * 3  # noqa: B023  - called in its iteration
            ends = together([*sell, *free])
            assert sorted(map(len, ends)) == [0, 0, 0, 0, 0, 1]  # type: ignore[arg-type]  # errors have no length
            found = level(store, product)
            assert (found.on_hand + found.sold, found.reserved) == (5, 0)


class TestDatabaseConstraints:
    @pytest.mark.parametrize(
        "change", [{"reserved": 6}, {"reserved": -1}, {"on_hand": 1}, {"on_hand": -1, "reserved": 0}, {"sold": -1}]
    )
    def test_has_checks(self, store: RelationalStore, change: dict[str, int]) -> None:
        product = stocked(store, 5)
        reserve(store, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(store, update(stock).where(stock.c.product_id == product).values(**change))

    @pytest.mark.parametrize("change", [{"quantity": 0}, {"returned": 3}, {"returned": -1}])
    def test_has_checks_of_reservations(self, store: RelationalStore, change: dict[str, int]) -> None:
        product = stocked(store, 5)
        order = reserve(store, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(store, update(reservations).where(reservations.c.order_id == order).values(**change))

    def test_without_the_condition_the_check_holds(
        self, store: RelationalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        product = stocked(store, 5)
        loose = update(stock).where(stock.c.product_id == bindparam("its_id_0", type_=ID))
        loose = loose.values(reserved=stock.c.reserved + bindparam("units_0", type_=BigInteger()))
        monkeypatch.setattr(stock_writes, "_reserve", lambda _: loose.returning(stock.c.product_id))
        with pytest.raises(Inconsistent):
            reserve(store, {product: 6})
        assert level(store, product) == Stock(product, 5, 0, 0, 1)

    def test_reservations_need_stock(self, store: RelationalStore) -> None:
        product = stocked(store, 5)
        order = reserve(store, {product: 2})
        with pytest.raises(SQLAlchemyError):
            sql(store, update(reservations).where(reservations.c.order_id == order).values(product_id=uuid4()))
