"""The contract of the relational store: follows and blocks."""

from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import pytest

from repositories.errors import Invalid, NotFound
from repositories.records.graph import Edge, Follow, GraphCounts, Relation
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational_store import NOW, account, add, follow, register
from tests.contracts.transactions import MICROSECOND, SECOND, do, together


def unfollow(store: RelationalStore, follower: UUID, followee: UUID) -> datetime | None:
    return do(store, lambda unit: unit.graph.unfollow(follower, followee))


def shuffled(ids: list[UUID]) -> list[UUID]:
    """The ids in a different order."""
    return sorted(ids, key=lambda one: one.bytes[::-1])


class TestGraph:
    def test_follow_and_unfollow_are_idempotent_and_counted(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert [follow(store, ada, bob), follow(store, ada, bob, NOW + SECOND)] == [True, False]
        assert store.graph.following(ada, before=None, limit=9) == [Edge(bob, NOW)]
        assert store.graph.followers(bob, before=None, limit=9) == [Edge(ada, NOW)]
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(0, 1), bob: GraphCounts(1, 0)}
        ends = [do(store, lambda unit: unit.graph.unfollow(ada, bob)) for _ in range(2)]
        assert ends == [NOW, None]
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(), bob: GraphCounts()}
        assert store.graph.following(ada, before=None, limit=9) == []

    def test_a_follow_is_not_mutual(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        follow(store, bob, ada)
        assert store.graph.followers(bob, before=None, limit=9) == []
        assert do(store, lambda unit: unit.graph.unfollow(ada, bob)) is None

    def test_a_rolled_back_follow_counts_nothing(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def fail(unit: Transaction) -> None:
            unit.graph.follow(Follow(ada, bob, NOW))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.graph.counts([bob]) == {bob: GraphCounts()}

    def test_unknown_accounts_neither_follow_nor_are_followed(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        for pair in ((ada, uuid4()), (uuid4(), ada)):
            with pytest.raises(NotFound):
                follow(store, *pair)
            with pytest.raises(NotFound):
                do(store, lambda unit, pair=pair: unit.graph.lock(*pair))  # type: ignore[misc]  # default binds
        assert store.graph.counts([ada]) == {ada: GraphCounts()}

    def test_lists_are_newest_first_with_ties_by_id_descending(self, store: RelationalStore) -> None:
        ada, *others = register(store, 10)
        since = {other: NOW + MICROSECOND * (number // 3) for number, other in enumerate(others)}
        for other in shuffled(others):
            follow(store, ada, other, since[other])
            follow(store, other, ada, since[other])
        expected = [Edge(one, since[one]) for one in sorted(others, key=lambda one: (since[one], one), reverse=True)]
        for listing in (store.graph.following, store.graph.followers):
            assert listing(ada, before=None, limit=99) == expected
            assert listing(ada, before=None, limit=4) == expected[:4]
            for number, edge in enumerate(expected):
                assert listing(ada, before=edge, limit=3) == expected[number + 1 : number + 4]
            assert listing(ada, before=Edge(UUID(int=0), NOW), limit=3) == []

    def test_paging_sees_each_edge_once_while_others_come_and_go(self, store: RelationalStore) -> None:
        ada, *others = register(store, 12)
        for number, other in enumerate(others[:8]):
            follow(store, other, ada, NOW + SECOND * number)
        seen: list[UUID] = []
        page = store.graph.followers(ada, before=None, limit=2)
        for newcomer in [*others[8:], None]:
            seen += [edge.account_id for edge in page]
            if newcomer:
                follow(store, newcomer, ada, NOW + SECOND * 100)
                unfollow(store, seen[-1], ada)
            page = store.graph.followers(ada, before=page[-1], limit=2) if page else []
        assert seen == list(reversed(others[:8]))

    def test_followees_tell_whether_they_are_filled(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        follow(store, ada, bob)
        follow(store, ada, eve, NOW + SECOND)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, eve, NOW + SECOND))) is True
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, eve, NOW + SECOND))) is True
        assert store.graph.followees(ada) == {bob: False, eve: True}
        assert store.graph.followees(bob) == {}

    def test_filled_needs_the_same_edge(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, bob, NOW))) is False
        follow(store, ada, bob, NOW)
        do(store, lambda unit: unit.graph.unfollow(ada, bob))
        follow(store, ada, bob, NOW + MICROSECOND)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, bob, NOW))) is False
        assert store.graph.followees(ada) == {bob: False}

    def test_ids_are_ordered_as_numbers(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        ids = [UUID(int=(uuid4().int >> 8) | (top << 120)) for top in (0x00, 0x7F, 0x80, 0xFF)]
        for one in ids:
            add(store, account(id=one, handle=one.hex))
            follow(store, one, ada)
        assert store.fanouts.audience(ada, after=None, limit=9) == ids
        assert [edge.account_id for edge in store.graph.followers(ada, before=None, limit=9)] == ids[::-1]

    def test_a_limit_of_0_is_nothing_and_below_is_invalid(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        follow(store, ada, bob)
        assert store.graph.following(ada, before=None, limit=0) == []
        assert store.outbox.claim(now=NOW, lease_until=NOW, limit=0) == []
        for call in (
            lambda: store.graph.following(ada, before=None, limit=-1),
            lambda: store.outbox.claim(now=NOW, lease_until=NOW, limit=-1),
            lambda: store.outbox.dead_letters(limit=-1),
        ):
            with pytest.raises(Invalid):
                call()

    def test_relations(self, store: RelationalStore) -> None:
        ada, bob, eve, tom = register(store, 4)
        stranger = uuid4()
        with store.transaction() as unit:
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.follow(Follow(bob, ada, NOW))
            unit.graph.follow(Follow(eve, ada, NOW))
            assert unit.graph.block(ada, eve, NOW) is True
            assert unit.graph.block(tom, ada, NOW) is True
        assert store.graph.relations(ada, [bob, eve, tom, stranger, bob]) == {
            bob: Relation(following=True, follows_you=True),
            eve: Relation(follows_you=True, blocking=True),
            tom: Relation(blocked_by=True),
            stranger: Relation(),
        }
        assert store.graph.relations(ada, []) == {}
        assert store.graph.relations(stranger, [ada]) == {ada: Relation()}

    def test_blocks_are_idempotent(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert [do(store, lambda unit: unit.graph.block(ada, bob, NOW)) for _ in range(2)] == [True, False]
        assert store.graph.relations(ada, [bob]) == {bob: Relation(blocking=True)}
        assert [do(store, lambda unit: unit.graph.unblock(ada, bob)) for _ in range(2)] == [True, False]
        assert store.graph.relations(ada, [bob]) == {bob: Relation()}

    def test_blocks_are_listed_newest_first_with_ties_by_id_descending(self, store: RelationalStore) -> None:
        ada, *others = register(store, 8)
        at = {other: NOW + MICROSECOND * (number // 3) for number, other in enumerate(others)}
        with store.transaction() as unit:
            for other in shuffled(others):
                unit.graph.block(ada, other, at[other])
                unit.graph.block(other, others[0] if other != others[0] else ada, at[other])
        expected = [Edge(one, at[one]) for one in sorted(others, key=lambda one: (at[one], one), reverse=True)]
        assert store.graph.blocked(ada, before=None, limit=99) == expected
        for number, edge in enumerate(expected):
            assert store.graph.blocked(ada, before=edge, limit=3) == expected[number + 1 : number + 4]
        do(store, lambda unit: unit.graph.unblock(ada, expected[0].account_id))
        assert store.graph.blocked(ada, before=None, limit=2) == expected[1:3]
        assert store.graph.blocked(uuid4(), before=None, limit=2) == []

    def test_counts_have_an_entry_for_everyone(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        stranger = uuid4()
        assert store.graph.counts([ada, stranger, ada]) == {ada: GraphCounts(), stranger: GraphCounts()}
        assert store.graph.counts([]) == {}

    def test_lock_returns_the_relation(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        with store.transaction() as unit:
            assert unit.graph.lock(ada, bob) == Relation()
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.block(bob, ada, NOW)
            assert unit.graph.lock(ada, bob) == Relation(following=True, blocked_by=True)
            assert unit.graph.lock(bob, ada) == Relation(follows_you=True, blocking=True)
            assert unit.graph.lock(ada, ada) == Relation()

    def test_a_concurrent_block_leaves_no_follow(self, store: RelationalStore) -> None:
        """Follow and block concurrently, each checked under `lock`: there is never both a follow and a block."""

        def try_follow(ada: UUID, bob: UUID) -> None:
            with store.transaction() as unit:
                stand = unit.graph.lock(ada, bob)
                if not (stand.blocking or stand.blocked_by):
                    unit.graph.follow(Follow(ada, bob, NOW))

        def block(ada: UUID, bob: UUID) -> None:
            with store.transaction() as unit:
                unit.graph.lock(bob, ada)
                unit.graph.block(bob, ada, NOW)
                unit.graph.unfollow(ada, bob)

        for turn in range(8):
            ada, bob = register(store, 2)[:: 1 if turn % 2 else -1]
            ends = together([partial(try_follow, ada, bob), partial(block, ada, bob)])
            assert ends == [None, None]
            assert store.graph.relations(ada, [bob]) == {bob: Relation(blocked_by=True)}
            assert store.graph.counts([bob]) == {bob: GraphCounts()}

    def test_commands_over_one_pair_never_deadlock(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def churn(one: UUID, other: UUID, *, locked: bool) -> None:
            for _ in range(10):
                with store.transaction() as unit:
                    if locked:
                        unit.graph.lock(other, one)
                    unit.graph.follow(Follow(one, other, NOW))
                with store.transaction() as unit:
                    unit.graph.unfollow(one, other)

        ends = together(
            [
                lambda: churn(ada, bob, locked=True),
                lambda: churn(bob, ada, locked=True),
                lambda: churn(ada, bob, locked=False),
                lambda: churn(bob, ada, locked=False),
            ],
        )
        assert ends == [None] * 4
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(), bob: GraphCounts()}
