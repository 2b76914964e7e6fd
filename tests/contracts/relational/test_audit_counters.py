"""The contract of auditing and repairing stored counters."""

from uuid import uuid4

import pytest
from sqlalchemy import delete, update

from repositories.errors import NotFound
from repositories.records.graph import Follow, GraphCounts, Like
from repositories.relational import RelationalStore
from repositories.relational.schema.tables import account_counters, post_counters
from tests.contracts.relational_store import NOW, register
from tests.contracts.transactions import sql


def test_right_counts_are_not_reported(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    post = uuid4()
    with store.transaction() as tx:
        tx.graph.follow(Follow(ada, bob, NOW))
        tx.likes.like(Like(ada, post, NOW))
    assert store.counters.miscounted_accounts([ada, bob, uuid4()]) == {}
    assert store.counters.miscounted_posts([post, uuid4()]) == {}
    assert not store.counters.miscounted_accounts([])
    assert not store.counters.miscounted_posts([])


@pytest.mark.parametrize("is_lost", [True, False])
def test_accounts_are_counted_again(store: RelationalStore, *, is_lost: bool) -> None:
    ada, bob = register(store, 2)
    with store.transaction() as tx:
        tx.graph.follow(Follow(ada, bob, NOW))
    row = account_counters.c.account_id == bob
    change = delete(account_counters) if is_lost else update(account_counters).values(following=7)
    sql(store, change.where(row))
    kept = None if is_lost else GraphCounts(1, 7)
    assert store.counters.miscounted_accounts([ada, bob]) == {bob: (kept, GraphCounts(1, 0))}
    with store.transaction() as tx:
        tx.counters.recount_account(bob)
    assert store.counters.miscounted_accounts([ada, bob]) == {}
    assert store.graph.counts([bob]) == {bob: GraphCounts(1, 0)}


@pytest.mark.parametrize("is_lost", [True, False])
def test_posts_are_counted_again(store: RelationalStore, *, is_lost: bool) -> None:
    fans, post, unloved = register(store, 3), uuid4(), uuid4()
    with store.transaction() as tx:
        for fan in fans:
            tx.likes.like(Like(fan, post, NOW))
    change = delete(post_counters) if is_lost else update(post_counters).values(likes=9)
    sql(store, change.where(post_counters.c.post_id == post))
    assert store.counters.miscounted_posts([post, unloved]) == {post: (0 if is_lost else 9, 3)}
    with store.transaction() as tx:
        tx.counters.recount_post(post)
        tx.counters.recount_post(unloved)
    assert store.counters.miscounted_posts([post, unloved]) == {}
    assert store.likes.counts([post, unloved]) == {post: 3, unloved: 0}


def test_an_unknown_account_has_no_counts(store: RelationalStore) -> None:
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.counters.recount_account(uuid4())
