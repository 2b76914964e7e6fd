"""The contract of idempotency keys: claims and their leases."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from repositories.errors import Invalid, Stale
from repositories.records.idempotency import Granted, InFlight, Mismatch, RequestKey
from repositories.relational import RelationalStore, Transaction
from repositories.relational.idempotency_port import Claimed
from repositories.relational.schema.money_tables import request_keys
from tests.contracts.relational.request_keys import ANSWER, LEASE, claim, new_key
from tests.contracts.transactions import MICROSECOND, SECOND, do, do_retrying, sql, together


class TestClaim:
    def test_is_granted_once_and_then_answered(self, store: RelationalStore) -> None:
        key = new_key()

        def work(unit: Transaction) -> Claimed:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            unit.idempotency.complete(key, granted, ANSWER)
            return granted

        assert do(store, work) != ANSWER
        for time in (0 * SECOND, LEASE, 9999 * SECOND):
            age_claim(store, key, time)
            assert do(store, lambda unit: claim(unit, key)) == ANSWER
        assert do(store, lambda unit: claim(unit, key, body=b"other")) == Mismatch()

    def test_an_error_leaves_nothing(self, store: RelationalStore) -> None:
        key = new_key()

        def fail(unit: Transaction) -> None:
            assert isinstance(claim(unit, key), Granted)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert isinstance(do(store, lambda unit: claim(unit, key, body=b"other")), Granted)

    def test_scope_is_account_and_route(self, store: RelationalStore) -> None:
        key = new_key()
        others = [
            RequestKey(uuid4(), key.route, key.key),
            RequestKey(key.account_id, "POST /deposits", key.key),
            RequestKey(key.account_id, key.route, key.key.upper()),
            RequestKey(key.account_id, key.route, "\u0130" * 255),
        ]
        for one in [key, *others]:
            assert isinstance(do(store, lambda unit, one=one: claim(unit, one)), Granted)  # type: ignore[misc]  # default binds

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"])
    def test_refuses_invalid_text(self, store: RelationalStore, text: str) -> None:
        with pytest.raises(Invalid):
            do(store, lambda unit: claim(unit, RequestKey(uuid4(), "POST /orders", text)))


class TestLease:
    def test_is_in_flight_until_the_lease_ends(self, store: RelationalStore) -> None:
        key = new_key()
        first = do(store, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        assert not first.taken_over
        self.is_in_flight(store, key, LEASE)
        age_claim(store, key, LEASE / 2)
        self.is_in_flight(store, key, LEASE / 2)
        age_claim(store, key, LEASE / 2)
        assert do(store, lambda unit: claim(unit, key, body=b"other")) == Mismatch()
        second = do(store, lambda unit: claim(unit, key, lease=2 * LEASE))
        assert isinstance(second, Granted)
        assert second.taken_over
        self.is_in_flight(store, key, 2 * LEASE)
        with pytest.raises(Stale):
            do(store, lambda unit: unit.idempotency.complete(key, first, ANSWER))
        do(store, lambda unit: unit.idempotency.abandon(key, first))
        do(store, lambda unit: unit.idempotency.complete(key, second, ANSWER))
        with pytest.raises(Stale):
            do(store, lambda unit: unit.idempotency.complete(key, second, ANSWER))
        do(store, lambda unit: unit.idempotency.abandon(key, second))
        assert do(store, lambda unit: claim(unit, key)) == ANSWER

    @pytest.mark.parametrize("end", ["complete", "abandon"])
    def test_ends_once_in_its_own_transaction(self, store: RelationalStore, end: str) -> None:
        key = new_key()

        def work(unit: Transaction) -> None:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            if end == "complete":
                unit.idempotency.complete(key, granted, ANSWER)
            else:
                unit.idempotency.abandon(key, granted)
            unit.idempotency.complete(key, granted, ANSWER)

        with pytest.raises(Stale):
            do(store, work)

    def is_in_flight(self, store: RelationalStore, key: RequestKey, most: timedelta) -> None:
        found = do(store, lambda unit: claim(unit, key))
        assert isinstance(found, InFlight)
        assert found.left is not None
        assert most - 600 * SECOND < found.left <= most

    def test_may_be_ended(self, store: RelationalStore) -> None:
        key = new_key()
        first = do(store, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        for _ in range(2):
            do(store, lambda unit: unit.idempotency.end_lease(key, first))
        assert do(store, lambda unit: claim(unit, key, body=b"other")) == Mismatch()
        second = do(store, lambda unit: claim(unit, key))
        assert isinstance(second, Granted)
        assert second.taken_over
        do(store, lambda unit: unit.idempotency.end_lease(key, first))
        self.is_in_flight(store, key, LEASE)

    def test_may_be_abandoned(self, store: RelationalStore) -> None:
        key = new_key()
        first = do(store, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        for _ in range(2):
            do(store, lambda unit: unit.idempotency.abandon(key, first))
        again = do(store, lambda unit: claim(unit, key, body=b"other"))
        assert isinstance(again, Granted)
        assert not again.taken_over

    def test_is_taken_over_once(self, store: RelationalStore) -> None:
        for _ in range(5):
            key = new_key()
            do(store, lambda unit: claim(unit, key))  # noqa: B023  - called in its iteration
            age_claim(store, key, LEASE)

            def take_over(unit: Transaction) -> Claimed:
                return claim(unit, key)  # noqa: B023  - called in its iteration

            ends = together([lambda: do_retrying(store, take_over)] * 6)
            assert sum(isinstance(end, Granted) for end in ends) == 1
            assert sum(isinstance(end, InFlight) for end in ends) == 5


class TestSweep:
    def test_removes_old_keys(self, store: RelationalStore) -> None:
        old = datetime(2020, 1, 1, tzinfo=UTC)
        keys = [new_key() for _ in range(4)]
        for turn, key in enumerate(keys):
            do(store, lambda unit, key=key: claim(unit, key))  # type: ignore[misc]  # default binds
            this = update(request_keys).where(request_keys.c.key == key.key)
            sql(store, this.values(created_at=old + turn * MICROSECOND))
        sweep = old + 3 * MICROSECOND
        assert do(store, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 2
        assert do(store, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 1
        assert do(store, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 0
        left = sql(store, select(request_keys.c.key).where(request_keys.c.created_at < old + 999 * SECOND))
        assert [row.key for row in left] == [keys[3].key]
        assert isinstance(do(store, lambda unit: claim(unit, keys[0], body=b"other")), Granted)


def age_claim(store: RelationalStore, key: RequestKey, time: timedelta) -> None:
    """Shift the times of the key's claim into the past by this duration."""
    this = request_keys.c.key == key.key
    (row,) = sql(store, select(request_keys.c.created_at, request_keys.c.lease_until).where(this))
    sql(store, update(request_keys).where(this).values(created_at=row[0] - time, lease_until=row[1] - time))
