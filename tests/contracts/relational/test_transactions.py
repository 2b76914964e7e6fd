"""The contract of the relational store: transactions, and the events written in them."""

from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from repositories.errors import Conflict, NotFound
from repositories.records.events import Event
from repositories.relational import RelationalStore, Transaction
from repositories.relational.schema.tables import outbox
from tests.contracts.relational_store import NOW, account, login, register
from tests.contracts.transactions import dispatched, do, engine_of


class TestTransaction:
    def test_rolls_back_when_the_block_raises(self, store: RelationalStore) -> None:
        one = account()
        before = store.outbox.backlog()

        def fail(unit: Transaction) -> None:
            unit.accounts.add(one, login(one))
            unit.emit(Event(uuid4(), "t", "a", NOW, b"{}"))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.accounts.get([one.id]) == {}
        assert store.outbox.backlog() == before

    def test_is_seen_by_others_only_after_its_commit(self, store: RelationalStore) -> None:
        one = account()
        with store.transaction() as unit:
            unit.accounts.add(one, login(one))
            assert store.accounts.get([one.id]) == {}
        assert store.accounts.get([one.id]) == {one.id: one}

    def test_an_error_that_is_swallowed_still_undoes_all(self, store: RelationalStore) -> None:
        first, second = account(), account()
        do(store, lambda unit: unit.accounts.add(first, login(first)))

        def swallow(unit: Transaction) -> None:
            unit.stock.put(second.id, 1)
            with pytest.raises(Conflict):
                unit.accounts.add(replace(second, handle=first.handle), login(second))
            with pytest.raises(Conflict):
                unit.stock.put(second.id, 2)

        with pytest.raises(Conflict):
            do(store, swallow)
        assert store.stock.available([second.id]) == {second.id: 0}

    def test_goes_on_after_an_error_of_the_port_itself(self, store: RelationalStore) -> None:
        product = uuid4()
        with store.transaction() as unit:
            with pytest.raises(NotFound):
                unit.accounts.set_password(uuid4(), "hash", if_hash="hash")
            unit.stock.put(product, 3)
        assert store.stock.available([product]) == {product: 3}

    def test_events_of_one_aggregate_are_dispatched_in_the_order_of_commit(self, store: RelationalStore) -> None:
        """The transactions lock a common row before they write."""
        ada, bob = register(store, 2)
        first, second = two_of_one_aggregate()

        def lock_and_emit(unit: Transaction, event: Event) -> None:
            unit.graph.lock(ada, bob)
            unit.emit(event)

        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                lock_and_emit(unit, first)
                overtaking = pool.submit(do, store, lambda unit: lock_and_emit(unit, second))
                assert not wait([overtaking], timeout=0.1).done
            overtaking.result()
        assert dispatched(store, first, second) == [first, second]

    def test_an_event_comes_after_waiting_ones_whatever_the_clock_says(self, store: RelationalStore) -> None:
        """The first event gets a position as if the server's clock had been an hour ahead and was set back."""
        first, second = two_of_one_aggregate()
        do(store, lambda unit: unit.emit(first))
        with engine_of(store).begin() as connection:
            ahead = outbox.c.position + 3_600_000_000 * 4096
            connection.execute(update(outbox).where(outbox.c.id == first.id).values(position=ahead))
        do(store, lambda unit: unit.emit(second))
        assert dispatched(store, first, second) == [first, second]

    def test_an_event_is_dispatched_once(self, store: RelationalStore) -> None:
        event = Event(uuid4(), "t", uuid4().hex, NOW, b"{}")
        do(store, lambda unit: unit.emit(event))
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.emit(event))
        assert caught.value.field == "id"


def two_of_one_aggregate() -> tuple[Event, Event]:
    first = Event(uuid4(), "t", uuid4().hex, NOW, b"{}")
    return first, replace(first, id=uuid4())
