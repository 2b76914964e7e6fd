"""The contract of the relational store: likes."""

from uuid import UUID, uuid4

import pytest

from repositories.errors import NotFound
from repositories.records.graph import Follow, Like
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW, register
from tests.contracts.transactions import SECOND, do, together


class TestLikes:
    def test_are_idempotent_and_counted(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        likes = [Like(ada, post, NOW), Like(ada, post, NOW + SECOND), Like(bob, post, NOW)]
        assert [do(store, lambda unit, like=like: unit.likes.like(like)) for like in likes] == [True, False, True]  # type: ignore[misc]  # default binds
        assert store.likes.counts([post, other]) == {post: 2, other: 0}
        assert store.likes.liked(ada, [post, other]) == {post}
        assert store.likes.liked(ada, []) == set()
        assert [do(store, lambda unit: unit.likes.unlike(ada, post)) for _ in range(2)] == [NOW, None]
        assert store.likes.counts([post]) == {post: 1}
        assert store.likes.counts([]) == {}
        assert do(store, lambda unit: unit.likes.unlike(ada, uuid4())) is None

    def test_need_an_existing_account(self, store: RelationalStore) -> None:
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.likes.like(Like(uuid4(), uuid4(), NOW)))

    def test_are_read_together_with_follows(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        post, other = uuid4(), uuid4()
        with store.transaction() as unit:
            unit.likes.like(Like(ada, post, NOW))
            unit.likes.like(Like(bob, other, NOW))
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.follow(Follow(eve, ada, NOW))
        assert store.likes.beside_follows(ada, [post, other], [ada, bob, eve]) == ({post}, {bob})
        assert store.likes.beside_follows(eve, [post, other], [ada, bob, eve]) == (set(), {ada})
        assert store.likes.beside_follows(ada, [post], []) == ({post}, set())
        assert store.likes.beside_follows(ada, [], [bob]) == (set(), {bob})
        assert store.likes.beside_follows(ada, [], []) == (set(), set())

    def test_forget_post(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        with store.transaction() as unit:
            for who in (ada, bob):
                unit.likes.like(Like(who, post, NOW))
            unit.likes.like(Like(ada, other, NOW))
        for _ in range(2):
            do(store, lambda unit: unit.likes.forget_post(post))
        assert store.likes.counts([post, other]) == {post: 0, other: 1}
        assert store.likes.liked(ada, [post, other]) == {other}
        assert do(store, lambda unit: unit.likes.unlike(ada, post)) is None
        assert do(store, lambda unit: unit.likes.like(Like(ada, post, NOW))) is True
        assert store.likes.counts([post]) == {post: 1}

    def test_the_count_is_exact_under_concurrency(self, store: RelationalStore) -> None:
        people, post = register(store, 4), uuid4()

        def churn(who: UUID, end: bool) -> None:  # noqa: FBT001  - whether the like stays
            for _ in range(6):
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))
                do(store, lambda unit: unit.likes.unlike(who, post))
            if end:
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))

        works = [lambda who=who, end=end: churn(who, end) for end, who in enumerate(people)]
        assert together([*works, *works[2:]]) == [None] * 6
        likers = sum(post in store.likes.liked(who, [post]) for who in people)
        assert store.likes.counts([post]) == {post: likers}

    def test_forgetting_while_others_like_leaves_an_exact_count(self, store: RelationalStore) -> None:
        people, post = register(store, 3), uuid4()

        def churn(who: UUID) -> None:
            for _ in range(6):
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))
                do(store, lambda unit: unit.likes.unlike(who, post))
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))

        def forget() -> None:
            for _ in range(12):
                do(store, lambda unit: unit.likes.forget_post(post))

        ends = together([*(lambda who=who: churn(who) for who in people), forget])
        assert ends == [None] * 4
        likers = sum(post in store.likes.liked(who, [post]) for who in people)
        assert store.likes.counts([post]) == {post: likers}
