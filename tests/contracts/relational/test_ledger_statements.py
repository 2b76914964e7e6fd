"""The contract of the ledger: entries and balances at a time."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.records.money import PROVIDER, Money
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import held, transfer, wallet
from tests.contracts.relational.ledger_steps import pay
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, SECOND, do, do_retrying, together


class TestReads:
    def test_pages_of_entries(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        for turn in range(1, 6):
            pay(store, ada, bob, turn)
        whole = store.ledger.entries(ada, "EUR", limit=99)
        assert [entry.sequence for entry in whole] == [6, 5, 4, 3, 2, 1]
        assert [entry.balance for entry in whole] == [85, 90, 94, 97, 99, 100]
        first = store.ledger.entries(ada, "EUR", limit=2)
        pay(store, ada, bob, 50)
        rest = store.ledger.entries(ada, "EUR", before=first[-1].sequence, limit=99)
        assert first + rest == whole
        assert store.ledger.entries(ada, "EUR", limit=0) == []
        with pytest.raises(Invalid):
            store.ledger.entries(ada, "EUR", limit=-1)
        at = whole[2].at
        assert store.ledger.entries(ada, "EUR", until=at, limit=99) == whole[2:]
        assert store.ledger.entries(ada, "EUR", until=at, before=4, limit=1) == [whole[3]]

    def test_a_statement_is_of_a_period(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        for turn in range(1, 5):
            pay(store, ada, bob, turn)
        whole = store.ledger.entries(ada, "EUR", limit=99)[::-1]
        period = {"since": whole[1].at, "until": whole[4].at}
        assert store.ledger.statement(ada, "EUR", **period, after=0, limit=99) == whole[1:4]
        assert store.ledger.statement(ada, "EUR", **period, after=whole[1].sequence, limit=1) == [whole[2]]
        assert store.ledger.statement(bob, "USD", **period, after=0, limit=99) == []
        assert store.ledger.statement(ada, "EUR", since=NOW, until=NOW + SECOND, after=0, limit=99) == []

    def test_balance_at_a_moment(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        pay(store, ada, bob, 10)
        later, first = (entry.at for entry in store.ledger.entries(ada, "EUR", limit=9))
        moments = (first - MICROSECOND, first, later - MICROSECOND, later, later + 99 * SECOND)
        assert [store.ledger.balance_at(ada, "EUR", at) for at in moments] == [0, 100, 100, 90, 90]
        assert store.ledger.balance_at(ada, "USD", NOW) == 0

    def test_the_sum_of_balances_is_the_same_at_any_past_moment(self, store: RelationalStore) -> None:
        people = [wallet(store, 1000) for _ in range(6)]
        chance = random.Random(3)  # noqa: S311 - test data

        def pay_around() -> None:
            for _ in range(15):
                ada, bob = chance.sample(people, 2)
                do_retrying(store, lambda unit: unit.ledger.transfer(transfer(ada, bob, 7)))  # noqa: B023 - called in its iteration

        begun = do(store, lambda unit: unit.ledger.lock(people, "EUR"))
        together([pay_around] * 4)
        whole = [[entry.at for entry in store.ledger.entries(p, "EUR", limit=99)] for p in people]
        for moment in {at for times in whole for at in times if at > begun}:
            assert sum(store.ledger.balance_at(p, "EUR", moment) for p in people) == 6000
        assert whole == [sorted(set(times), reverse=True) for times in whole]
        assert list(store.audit.ledger()) == []

    @pytest.mark.parametrize("said", [NOW, datetime(1999, 1, 1, tzinfo=UTC)])
    def test_the_callers_clock_has_no_effect(self, store: RelationalStore, said: datetime) -> None:
        ada, bob = wallet(store, 100, "SEK"), wallet(store, 1, "SEK")
        lock: Callable[[Transaction], datetime] = lambda unit: unit.ledger.lock([ada], "SEK")  # noqa: E731
        paid = transfer(ada, bob, 10, "SEK", created_at=said)
        before = do(store, lock)
        do(store, lambda unit: unit.ledger.transfer(paid))
        after = do(store, lock)
        (at,) = {store.ledger.entries(one, "SEK", limit=1)[0].at for one in (ada, bob)}
        assert before < at < after
        assert abs(datetime.now(UTC) - after) < 60 * SECOND
        assert store.ledger.get([paid.id])[paid.id].created_at == at
        hold = replace(held(ada, bob, 1, created_at=said), amount=Money(1, "SEK"))
        do(store, lambda unit: unit.ledger.hold(hold))
        assert after < store.ledger.get([hold.id])[hold.id].created_at < do(store, lock)

    def test_times_rise_even_after_a_time_in_the_future(self, store: RelationalStore) -> None:
        """Stored times may be in the future after a load, if the clock of its machine was ahead, or if the database's
        clock was set back.
        """
        ada, bob = wallet(store), wallet(store, 1, "NOK")
        do(store, lambda unit: unit.bulk.transfers([transfer(PROVIDER, ada, 100, "NOK")]))
        told = do(store, lambda unit: unit.ledger.lock([ada], "NOK"))

        def pay_twice(unit: Transaction) -> None:
            for _ in range(2):
                unit.ledger.transfer(transfer(ada, bob, 10, "NOK"))

        do(store, pay_twice)
        entries = store.ledger.entries(ada, "NOK", limit=9)
        assert [entry.at for entry in entries] == [NOW + turn * MICROSECOND for turn in (2, 1, 0)]
        assert [entry.at for entry in store.ledger.entries(bob, "NOK", limit=2)] == [e.at for e in entries[:2]]
        assert store.ledger.balance_at(ada, "NOK", told) == 100
        assert list(store.audit.ledger()) == []

    def test_balances_before_the_time_of_a_lock_are_final(self, store: RelationalStore) -> None:
        """So a balance at the time that `lock` returns does not change after it was read."""
        ada, bob = wallet(store, 100), wallet(store, 1)
        told: list[tuple[UUID, datetime, int]] = []

        def trade() -> None:
            for _ in range(30):
                do_retrying(store, lambda unit: unit.ledger.transfer(transfer(ada, bob, 1)))

        def look() -> None:
            for turn in range(30):
                own = (ada, bob)[turn % 2]
                at = do_retrying(store, lambda unit: unit.ledger.lock([own], "EUR"))  # noqa: B023 - called in its iteration
                told.append((own, at, store.ledger.balance_at(own, "EUR", at)))

        together([trade, trade, look, look])
        assert [store.ledger.balance_at(own, "EUR", at) for own, at, _ in told] == [was for _, _, was in told]
