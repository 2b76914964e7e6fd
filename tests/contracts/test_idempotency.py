"""The contract of idempotency keys."""

import contextlib
import multiprocessing
import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from repositories.errors import Contention, Invalid, Stale
from repositories.money_records import Answer, Granted, InFlight, Mismatch, RequestKey
from repositories.relational import RelationalStore, Transaction, open_store
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.idempotency_port import Claimed
from repositories.relational.postgres.store import PostgresRelational
from repositories.relational.schema.money_tables import request_keys
from repositories.relational.transaction import SqlTransaction
from tests.contracts.money import MICROSECOND, SECOND, balances, do, engine_of, sql, surely, together, transfer, wallet
from tests.contracts.relational_store import TIMEOUT

LEASE = 3600 * SECOND
BODY = b"\x01" * 32
ANSWER = Answer(201, {"location": "/orders/1", "etag": '"\u00fc"'}, b'{"a": "\xf0\x9f\x92\xa1"}\x00\xff')


class TestClaim:
    def test_is_granted_once_and_then_answered(self, relational: RelationalStore) -> None:
        key = new_key()

        def work(unit: Transaction) -> Claimed:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            unit.idempotency.complete(key, granted, ANSWER)
            return granted

        assert do(relational, work) != ANSWER
        for time in (0 * SECOND, LEASE, 9999 * SECOND):
            age_claim(relational, key, time)
            assert do(relational, lambda unit: claim(unit, key)) == ANSWER
        assert do(relational, lambda unit: claim(unit, key, body=b"other")) == Mismatch()

    def test_an_error_leaves_nothing(self, relational: RelationalStore) -> None:
        key = new_key()

        def fail(unit: Transaction) -> None:
            assert isinstance(claim(unit, key), Granted)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(relational, fail)
        assert isinstance(do(relational, lambda unit: claim(unit, key, body=b"other")), Granted)

    def test_scope_is_account_and_route(self, relational: RelationalStore) -> None:
        key = new_key()
        others = [
            RequestKey(uuid4(), key.route, key.key),
            RequestKey(key.account_id, "POST /deposits", key.key),
            RequestKey(key.account_id, key.route, key.key.upper()),
            RequestKey(key.account_id, key.route, "\u0130" * 255),
        ]
        for one in [key, *others]:
            assert isinstance(do(relational, lambda unit, one=one: claim(unit, one)), Granted)  # type: ignore[misc]  # default binds

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"])
    def test_refuses_invalid_text(self, relational: RelationalStore, text: str) -> None:
        with pytest.raises(Invalid):
            do(relational, lambda unit: claim(unit, RequestKey(uuid4(), "POST /orders", text)))


class TestLease:
    def test_is_in_flight_until_the_lease_ends(self, relational: RelationalStore) -> None:
        key = new_key()
        first = do(relational, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        assert not first.taken_over
        self.is_in_flight(relational, key, LEASE)
        age_claim(relational, key, LEASE / 2)
        self.is_in_flight(relational, key, LEASE / 2)
        age_claim(relational, key, LEASE / 2)
        assert do(relational, lambda unit: claim(unit, key, body=b"other")) == Mismatch()
        second = do(relational, lambda unit: claim(unit, key, lease=2 * LEASE))
        assert isinstance(second, Granted)
        assert second.taken_over
        self.is_in_flight(relational, key, 2 * LEASE)
        with pytest.raises(Stale):
            do(relational, lambda unit: unit.idempotency.complete(key, first, ANSWER))
        do(relational, lambda unit: unit.idempotency.abandon(key, first))
        do(relational, lambda unit: unit.idempotency.complete(key, second, ANSWER))
        with pytest.raises(Stale):
            do(relational, lambda unit: unit.idempotency.complete(key, second, ANSWER))
        do(relational, lambda unit: unit.idempotency.abandon(key, second))
        assert do(relational, lambda unit: claim(unit, key)) == ANSWER

    @pytest.mark.parametrize("end", ["complete", "abandon"])
    def test_ends_once_in_its_own_transaction(self, relational: RelationalStore, end: str) -> None:
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
            do(relational, work)

    def is_in_flight(self, relational: RelationalStore, key: RequestKey, most: timedelta) -> None:
        found = do(relational, lambda unit: claim(unit, key))
        assert isinstance(found, InFlight)
        assert found.left is not None
        assert most - 600 * SECOND < found.left <= most

    def test_may_be_ended(self, relational: RelationalStore) -> None:
        key = new_key()
        first = do(relational, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        for _ in range(2):
            do(relational, lambda unit: unit.idempotency.end_lease(key, first))
        assert do(relational, lambda unit: claim(unit, key, body=b"other")) == Mismatch()
        second = do(relational, lambda unit: claim(unit, key))
        assert isinstance(second, Granted)
        assert second.taken_over
        do(relational, lambda unit: unit.idempotency.end_lease(key, first))
        self.is_in_flight(relational, key, LEASE)

    def test_may_be_abandoned(self, relational: RelationalStore) -> None:
        key = new_key()
        first = do(relational, lambda unit: claim(unit, key))
        assert isinstance(first, Granted)
        for _ in range(2):
            do(relational, lambda unit: unit.idempotency.abandon(key, first))
        again = do(relational, lambda unit: claim(unit, key, body=b"other"))
        assert isinstance(again, Granted)
        assert not again.taken_over

    def test_is_taken_over_once(self, relational: RelationalStore) -> None:
        for _ in range(5):
            key = new_key()
            do(relational, lambda unit: claim(unit, key))  # noqa: B023  - called in its iteration
            age_claim(relational, key, LEASE)

            def take_over(unit: Transaction) -> Claimed:
                return claim(unit, key)  # noqa: B023  - called in its iteration

            ends = together([lambda: surely(relational, take_over)] * 6)
            assert sum(isinstance(end, Granted) for end in ends) == 1
            assert sum(isinstance(end, InFlight) for end in ends) == 5


class TestTwoAtOnce:
    def test_one_effect_and_one_answer(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 1000), uuid4()
        for turn in range(1, 11):
            key, answer = new_key(), Answer(200, {}, b"%d" % turn)

            def work(unit: Transaction) -> Claimed:
                claimed = claim(unit, key)  # noqa: B023  - called in its iteration
                if isinstance(claimed, Granted):
                    unit.ledger.transfer(transfer(ada, bob, 1))
                    unit.idempotency.complete(key, claimed, answer)  # noqa: B023  - called in its iteration
                return claimed

            ends = together([lambda work=work: surely(relational, work)] * 4)  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Granted) for end in ends) == 1
            assert all(end == answer or isinstance(end, Granted | InFlight) for end in ends)
            assert balances(relational, bob) == {"EUR": (turn, 0)}
            assert do(relational, work) == answer

    def test_the_second_waits_only_on_sqlite(self, relational: RelationalStore) -> None:
        if isinstance(relational, EmbeddedRelational):
            self.waits_for_the_answer(relational)
        else:
            self.is_published_at_once(relational)

    def is_published_at_once(self, relational: RelationalStore) -> None:
        key = new_key()
        with relational.transaction() as unit:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            self.is_in_use(relational, key)
            unit.idempotency.complete(key, granted, ANSWER)
            self.is_in_use(relational, key)
        assert do(relational, lambda other: claim(other, key)) == ANSWER

    def is_in_use(self, relational: RelationalStore, key: RequestKey) -> None:
        with pytest.raises(Contention), relational.transaction() as other:
            assert claim(other, key) == InFlight()

    def test_a_claim_leaves_the_lock_timeout_unchanged(self, relational: RelationalStore) -> None:
        """Claiming a new key, taking one over or finding one answered leaves the lock timeout unchanged."""
        if isinstance(relational, EmbeddedRelational):
            return
        key, answered = new_key(), new_key()
        do(relational, lambda unit: claim(unit, key, lease=0 * SECOND))

        def answer(unit: Transaction) -> None:
            granted = claim(unit, answered)
            assert isinstance(granted, Granted)
            unit.idempotency.complete(answered, granted, ANSWER)

        do(relational, answer)
        for one in (new_key(), key, answered):
            with relational.transaction() as unit:
                before = patience(unit)
                assert isinstance(claim(unit, one), Granted | Answer)
                assert patience(unit) == before

    def waits_for_the_answer(self, relational: RelationalStore) -> None:
        key, found = new_key(), []
        second = threading.Thread(target=lambda: found.append(do(relational, lambda unit: claim(unit, key))))
        with relational.transaction() as unit:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            second.start()
            unit.idempotency.complete(key, granted, ANSWER)
        second.join()
        assert found == [ANSWER]


class TestDeath:
    def test_before_the_commit_leaves_nothing(self, relational: RelationalStore) -> None:
        key, ada, bob = new_key(), wallet(relational, 10), uuid4()
        work_in_a_killed_process(relational, key, ada, bob, commit=False)
        assert isinstance(claim_when_free(relational, key), Granted)
        assert balances(relational, ada) == {"EUR": (10, 0)}

    def test_after_the_commit_leaves_all(self, relational: RelationalStore) -> None:
        key, ada, bob = new_key(), wallet(relational, 10), uuid4()
        work_in_a_killed_process(relational, key, ada, bob, commit=True)
        assert do(relational, lambda unit: claim(unit, key)) == ANSWER
        assert balances(relational, bob) == {"EUR": (3, 0)}


class TestSweep:
    def test_removes_old_keys(self, relational: RelationalStore) -> None:
        old = datetime(2020, 1, 1, tzinfo=UTC)
        keys = [new_key() for _ in range(4)]
        for turn, key in enumerate(keys):
            do(relational, lambda unit, key=key: claim(unit, key))  # type: ignore[misc]  # default binds
            this = update(request_keys).where(request_keys.c.key == key.key)
            sql(relational, this.values(created_at=old + turn * MICROSECOND))
        sweep = old + 3 * MICROSECOND
        assert do(relational, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 2
        assert do(relational, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 1
        assert do(relational, lambda unit: unit.idempotency.sweep(before=sweep, limit=2)) == 0
        left = sql(relational, select(request_keys.c.key).where(request_keys.c.created_at < old + 999 * SECOND))
        assert [row.key for row in left] == [keys[3].key]
        assert isinstance(do(relational, lambda unit: claim(unit, keys[0], body=b"other")), Granted)


def new_key() -> RequestKey:
    return RequestKey(uuid4(), "POST /transfers", uuid4().hex)


def claim(unit: Transaction, key: RequestKey, *, body: bytes = BODY, lease: timedelta = LEASE) -> Claimed:
    return unit.idempotency.claim(key, body, lease)


def patience(unit: Transaction) -> str:
    assert isinstance(unit, SqlTransaction)
    return str(unit._work.rows(select(func.current_setting("lock_timeout")), {})[0][0])


def age_claim(store: RelationalStore, key: RequestKey, time: timedelta) -> None:
    """Shift the times of the key's claim into the past by this duration."""
    this = request_keys.c.key == key.key
    (row,) = sql(store, select(request_keys.c.created_at, request_keys.c.lease_until).where(this))
    sql(store, update(request_keys).where(this).values(created_at=row[0] - time, lease_until=row[1] - time))


def claim_when_free(store: RelationalStore, key: RequestKey) -> Claimed:
    """Claim until the key is not in flight: the server takes a moment to notice that a client has died."""
    for _ in range(1000):
        found = surely(store, lambda unit: claim(unit, key))
        if not isinstance(found, InFlight):
            return found
        threading.Event().wait(0.01)
    raise AssertionError("the key is still in flight after 1,000 attempts")


def work_in_a_killed_process(
    store: RelationalStore, key: RequestKey, debit: UUID, credit: UUID, *, commit: bool
) -> None:
    """Do the work in another process, which kills itself before the commit, or after it with `commit`."""
    url = store._url if isinstance(store, PostgresRelational) else engine_of(store).url.render_as_string()
    child = multiprocessing.get_context("spawn").Process(
        target=work_until_killed, args=(url, key, debit, credit, commit)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def work_until_killed(url: str, key: RequestKey, debit: UUID, credit: UUID, commit: bool) -> None:  # noqa: FBT001  - arguments of a process
    store = open_store(url, timeout=TIMEOUT, pool=1)
    with contextlib.ExitStack() as stack:
        unit = stack.enter_context(store.transaction())
        granted = claim(unit, key)
        assert isinstance(granted, Granted)
        unit.ledger.transfer(transfer(debit, credit, 3))
        unit.idempotency.complete(key, granted, ANSWER)
        if commit:
            stack.close()
        os.kill(os.getpid(), signal.SIGKILL)
