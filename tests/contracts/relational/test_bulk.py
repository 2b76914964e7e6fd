"""The contract of the relational store: loading many rows at once."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Conflict, Contention, Invalid, NotFound
from repositories.records.feeds import ReaderState
from repositories.records.graph import Edge, Follow, GraphCounts, Like
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational.texts import BAD_TEXTS, TEXTS
from tests.contracts.relational_store import NOW, account, add, follow, login, register
from tests.contracts.transactions import LARGEST, SECOND, do, together

LATER = NOW + SECOND


class TestBulk:
    def test_existing_accounts_are_kept_and_new_ones_added(self, store: RelationalStore) -> None:
        known = account()
        add(store, known)
        new = [account(display_name=text, bio=text, image_url=text) for text in TEXTS] + [account()]
        again = replace(known, display_name="other", handle=f"o{known.handle}")
        rows = [(one, login(one)) for one in [again, *new, new[0]]]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.accounts(rows, seen_at=LATER))
        assert store.accounts.get([one.id for one in [known, *new]]) == {one.id: one for one in [known, *new]}
        assert store.accounts.login(new[-1].handle.upper()) == login(new[-1])
        assert store.graph.counts([new[0].id]) == {new[0].id: GraphCounts()}
        assert follow(store, new[0].id, new[1].id) is True
        assert store.feed_activity.reader_state(new[0].id) == ReaderState("awake", 0, LATER, None, (new[1].id,), 1)
        assert store.feed_activity.reader_state(known.id) == ReaderState("awake", 0, NOW, None)

    def test_an_account_with_a_taken_handle_is_a_conflict(self, store: RelationalStore) -> None:
        known, new = account(), account()
        add(store, known)
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.bulk.accounts([(replace(new, handle=known.handle), login(new))], seen_at=NOW))
        assert caught.value.field == "handle"

    def test_follows_are_filled_and_counted_once(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        follow(store, ada, bob)
        rows = [
            Follow(ada, bob, NOW + SECOND),
            Follow(ada, eve, NOW),
            Follow(bob, eve, NOW),
            Follow(ada, eve, NOW + SECOND),
        ]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.follows(rows))
        assert store.graph.followees(ada) == {bob: False, eve: True}
        assert store.graph.following(ada, before=None, limit=9) == [Edge(eve, NOW), Edge(bob, NOW)]
        assert store.graph.counts([ada, bob, eve]) == {
            ada: GraphCounts(0, 2),
            bob: GraphCounts(1, 1),
            eve: GraphCounts(2, 0),
        }

    def test_likes_are_counted_once(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        do(store, lambda unit: unit.likes.like(Like(ada, post, NOW)))
        rows = [Like(ada, post, NOW), Like(bob, post, NOW), Like(bob, other, NOW), Like(bob, other, NOW)]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.likes(rows))
        assert store.likes.counts([post, other]) == {post: 2, other: 1}

    def test_likes_of_posts_without_any_are_counted_once(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other, unliked = uuid4(), uuid4(), uuid4()
        do(store, lambda unit: unit.likes.like(Like(ada, unliked, NOW)))
        do(store, lambda unit: unit.likes.unlike(ada, unliked))
        rows = [Like(ada, post, NOW), Like(bob, post, NOW), Like(bob, other, NOW), Like(bob, other, NOW)]
        do(store, lambda unit: unit.bulk.likes(rows))
        assert store.likes.liked(bob, [post, other]) == {post, other}
        for _ in range(2):
            do(store, lambda unit: unit.bulk.likes([*rows, Like(ada, unliked, NOW)]))
        assert store.likes.counts([post, other, unliked]) == {post: 2, other: 1, unliked: 1}

    def test_existing_stock_is_kept(self, store: RelationalStore) -> None:
        product, other = uuid4(), uuid4()
        do(store, lambda unit: unit.stock.put(product, 1))
        do(store, lambda unit: unit.bulk.stock({product: 9, other: 4}))
        assert store.stock.available([product, other]) == {product: 1, other: 4}

    def test_refuses_invalid_rows_and_unknown_accounts(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        for text in BAD_TEXTS:
            one = account(bio=text)
            with pytest.raises(Invalid):
                do(store, lambda unit, one=one: unit.bulk.accounts([(one, login(one))], seen_at=NOW))  # type: ignore[misc]  # default binds
        for units in (-1, LARGEST + 1):
            with pytest.raises(Invalid):
                do(store, lambda unit, units=units: unit.bulk.stock({uuid4(): units}))  # type: ignore[misc]  # default binds
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.bulk.follows([Follow(ada, uuid4(), NOW)]))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.bulk.likes([Like(uuid4(), uuid4(), NOW)]))
        assert store.graph.counts([ada]) == {ada: GraphCounts()}

    def test_empty_lists_change_nothing(self, store: RelationalStore) -> None:
        with store.transaction() as unit:
            unit.bulk.accounts([], seen_at=NOW)
            unit.bulk.follows([])
            unit.bulk.likes([])
            unit.bulk.stock({})

    def test_is_part_of_the_transaction(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def fail(unit: Transaction) -> None:
            unit.bulk.follows([Follow(ada, bob, NOW)])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        with store.transaction() as unit:
            unit.graph.follow(Follow(bob, ada, NOW))
            unit.bulk.follows([Follow(ada, bob, NOW), Follow(bob, ada, NOW)])
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(1, 1), bob: GraphCounts(1, 1)}

    def test_more_rows_than_go_into_one_statement(self, store: RelationalStore) -> None:
        ids = register(store, 120)
        rows = [Follow(one, other, NOW) for one in ids for other in ids if one != other]
        do(store, lambda unit: unit.bulk.follows(rows))
        assert set(store.graph.counts(ids).values()) == {GraphCounts(119, 119)}

    def test_beside_single_follows_the_counts_stay_exact(self, store: RelationalStore) -> None:
        ids = register(store, 8)
        rows = [Follow(one, other, NOW) for one in ids for other in ids if one != other]

        def load() -> None:
            with store.transaction() as unit:
                unit.bulk.follows(rows)

        def singly() -> None:
            for row in reversed(rows):
                do(store, lambda unit, row=row: unit.graph.follow(row))  # type: ignore[misc]  # default binds

        ends = together([load, singly, load])
        assert all(end is None or isinstance(end, Contention) for end in ends)
        for one in ids:
            listed = len(store.graph.following(one, before=None, limit=99))
            assert store.graph.counts([one])[one].following == listed
