"""The contract of reads that a transaction sends together with its next statement (`begin_...`)."""

from uuid import uuid4

import pytest

from repositories.errors import Conflict, NotFound
from repositories.records.graph import Follow, Relation
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW, login, register


def test_a_begun_lock_is_known_after_the_next_call(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    with store.transaction() as tx:
        tx.graph.block(bob, ada, NOW)
        related = tx.graph.begin_lock(ada, bob)
        tx.ledger.lock({ada}, "EUR")
        assert related() == Relation(blocked_by=True)
        # The rows are locked already, so locking them again does not wait.
        assert tx.graph.begin_lock(bob, ada)() == Relation(blocking=True)


@pytest.mark.parametrize("before", ["the next call", "that"])
def test_a_begun_lock_of_an_unknown_account_raises_when_read(store: RelationalStore, before: str) -> None:
    (ada,) = register(store)
    with store.transaction() as tx:
        related = tx.graph.begin_lock(ada, uuid4())
        if before == "that":
            tx.ledger.lock({ada}, "EUR")
        with pytest.raises(NotFound):
            related()


def test_a_begun_lock_raises_after_a_failure(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    known = store.accounts.get([ada])[ada]
    # The error was caught inside the transaction, so the commit raises it again.
    with pytest.raises(Conflict), store.transaction() as tx:  # noqa: PT012
        related = tx.graph.begin_lock(ada, bob)
        with pytest.raises(Conflict):
            tx.accounts.add(known, login(known))
        with pytest.raises(Conflict):
            related()


def test_begun_reads_see_earlier_writes_but_not_later_ones(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    handle = store.accounts.get([bob])[bob].handle
    with store.transaction() as tx:
        tx.graph.follow(Follow(ada, bob, NOW))
        related = tx.graph.begin_lock(ada, bob)
        found, nobody = tx.accounts.begin_by_handle(handle.upper()), tx.accounts.begin_by_handle("no-one")
        there = tx.graph.begin_keep({ada, bob, uuid4()})
        tx.graph.unfollow(ada, bob)
        assert related() == Relation(following=True)
        account = found()
        assert account
        assert (account.id, nobody(), there()) == (bob, None, {ada, bob})
