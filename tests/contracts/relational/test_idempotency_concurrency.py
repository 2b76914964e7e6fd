"""The contract of idempotency keys: concurrent requests, and processes that die."""

import contextlib
import multiprocessing
import os
import signal
import threading
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from repositories.errors import Contention
from repositories.records.idempotency import Answer, Granted, InFlight, RequestKey
from repositories.relational import RelationalStore, Transaction, open_store
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.idempotency_port import Claimed
from repositories.relational.postgres.store import PostgresRelational
from repositories.relational.transaction import SqlTransaction
from tests.contracts.money import balances, transfer, wallet
from tests.contracts.relational.request_keys import ANSWER, claim, new_key
from tests.contracts.relational_store import TIMEOUT
from tests.contracts.transactions import SECOND, do, do_retrying, engine_of, together


class TestConcurrentRequests:
    def test_one_effect_and_one_answer(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 1000), uuid4()
        for turn in range(1, 11):
            key, answer = new_key(), Answer(200, {}, b"%d" % turn)

            def work(unit: Transaction) -> Claimed:
                claimed = claim(unit, key)  # noqa: B023  - called in its iteration
                if isinstance(claimed, Granted):
                    unit.ledger.transfer(transfer(ada, bob, 1))
                    unit.idempotency.complete(key, claimed, answer)  # noqa: B023  - called in its iteration
                return claimed

            ends = together([lambda work=work: do_retrying(store, work)] * 4)  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Granted) for end in ends) == 1
            assert all(end == answer or isinstance(end, Granted | InFlight) for end in ends)
            assert balances(store, bob) == {"EUR": (turn, 0)}
            assert do(store, work) == answer

    def test_the_second_waits_only_on_sqlite(self, store: RelationalStore) -> None:
        if isinstance(store, EmbeddedRelational):
            self.waits_for_the_answer(store)
        else:
            self.is_published_at_once(store)

    def is_published_at_once(self, store: RelationalStore) -> None:
        key = new_key()
        with store.transaction() as unit:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            self.is_in_use(store, key)
            unit.idempotency.complete(key, granted, ANSWER)
            self.is_in_use(store, key)
        assert do(store, lambda other: claim(other, key)) == ANSWER

    def is_in_use(self, store: RelationalStore, key: RequestKey) -> None:
        with pytest.raises(Contention), store.transaction() as other:
            assert claim(other, key) == InFlight()

    def test_a_claim_leaves_the_lock_timeout_unchanged(self, store: RelationalStore) -> None:
        """Claiming a new key, taking one over or finding one answered leaves the lock timeout unchanged."""
        if isinstance(store, EmbeddedRelational):
            return
        key, answered = new_key(), new_key()
        do(store, lambda unit: claim(unit, key, lease=0 * SECOND))

        def answer(unit: Transaction) -> None:
            granted = claim(unit, answered)
            assert isinstance(granted, Granted)
            unit.idempotency.complete(answered, granted, ANSWER)

        do(store, answer)
        for one in (new_key(), key, answered):
            with store.transaction() as unit:
                before = lock_timeout(unit)
                assert isinstance(claim(unit, one), Granted | Answer)
                assert lock_timeout(unit) == before

    def waits_for_the_answer(self, store: RelationalStore) -> None:
        key, found = new_key(), []
        second = threading.Thread(target=lambda: found.append(do(store, lambda unit: claim(unit, key))))
        with store.transaction() as unit:
            granted = claim(unit, key)
            assert isinstance(granted, Granted)
            second.start()
            unit.idempotency.complete(key, granted, ANSWER)
        second.join()
        assert found == [ANSWER]


class TestKilledProcess:
    def test_before_the_commit_leaves_nothing(self, store: RelationalStore) -> None:
        key, ada, bob = new_key(), wallet(store, 10), uuid4()
        work_in_a_killed_process(store, key, ada, bob, commit=False)
        assert isinstance(claim_when_free(store, key), Granted)
        assert balances(store, ada) == {"EUR": (10, 0)}

    def test_after_the_commit_leaves_all(self, store: RelationalStore) -> None:
        key, ada, bob = new_key(), wallet(store, 10), uuid4()
        work_in_a_killed_process(store, key, ada, bob, commit=True)
        assert do(store, lambda unit: claim(unit, key)) == ANSWER
        assert balances(store, bob) == {"EUR": (3, 0)}


def lock_timeout(unit: Transaction) -> str:
    assert isinstance(unit, SqlTransaction)
    return str(unit._work.rows(select(func.current_setting("lock_timeout")), {})[0][0])


def claim_when_free(store: RelationalStore, key: RequestKey) -> Claimed:
    """Claim until the key is not in flight: the server takes a moment to notice that a client has died."""
    for _ in range(1000):
        found = do_retrying(store, lambda unit: claim(unit, key))
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
