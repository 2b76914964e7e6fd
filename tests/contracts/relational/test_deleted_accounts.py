"""The contract of the relational store: deleted accounts, and handles that were given up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Conflict, NotFound, Stale
from repositories.records.events import Event
from repositories.records.graph import Follow, Forgotten, GraphCounts, Like, Relation
from repositories.records.people import Account
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational_store import NOW, account, login, register
from tests.contracts.transactions import do, do_retrying, together

LATER = NOW + timedelta(days=30)


def delete(store: RelationalStore, one: UUID, if_hash: str = "hash") -> None:
    do(store, lambda tx: tx.accounts.delete(one, at=NOW, if_hash=if_hash))


def follow(store: RelationalStore, follower: UUID, followee: UUID) -> Follow:
    edge = Follow(follower, followee, NOW)
    assert do(store, lambda tx: tx.graph.follow(edge))
    return edge


def add(store: RelationalStore, one: Account) -> None:
    """Add an account as registration does."""
    with store.transaction() as tx:
        tx.accounts.add(one, login(one))
        tx.accounts.claim(one.handle, one.id, at=one.created_at)


class TestDelete:
    def test_no_read_finds_the_account(self, store: RelationalStore) -> None:
        one = account(bio="A life.", image_url="https://example.org/ada")
        add(store, one)
        delete(store, one.id)
        assert store.accounts.get([one.id]) == {}
        assert store.accounts.by_handle(one.handle) is None
        assert [store.accounts.login(name) for name in (one.handle, login(one).email, "", str(one.id))] == [None] * 4
        assert store.accounts.login_of(one.id) is None
        assert one.id not in store.accounts.ids(after=UUID(int=one.id.int - 1), limit=1)
        assert store.graph.counts([one.id]) == {one.id: GraphCounts()}
        assert store.feed_activity.reader_state(one.id).state == "dormant"

    def test_frees_the_address_and_the_handle(self, store: RelationalStore) -> None:
        one = account()
        add(store, one)
        delete(store, one.id)
        other = account(handle=one.handle)
        add(store, other)
        assert store.accounts.by_handle(one.handle) == other

    def test_any_number_may_be_deleted(self, store: RelationalStore) -> None:
        for one in register(store, 3):
            delete(store, one)

    def test_refuses_another_hash_and_an_unknown_account(self, store: RelationalStore) -> None:
        (one,) = register(store)
        with pytest.raises(Stale):
            delete(store, one, "other")
        assert store.accounts.get([one])
        for unknown in (uuid4(), one):
            if unknown == one:
                delete(store, one)
            with pytest.raises(NotFound):
                delete(store, unknown)

    def test_later_commands_do_not_find_it(self, store: RelationalStore) -> None:
        one = account()
        add(store, one)
        (other,) = register(store)
        delete(store, one.id)
        edge = Follow(other, one.id, NOW)
        calls: list[Callable[[Transaction], object]] = [
            lambda tx: tx.accounts.replace(replace(one, version=3), if_version=2),
            lambda tx: tx.accounts.set_password(one.id, "new", if_hash="hash"),
            lambda tx: tx.accounts.set_email(one.id, "new@example.com", if_hash="hash"),
            lambda tx: tx.graph.lock(one.id, other),
            lambda tx: tx.graph.follow(edge),
            lambda tx: tx.graph.block(one.id, other, NOW),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                do(store, call)

    def test_others_see_that_it_is_gone(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        follow(store, ada, bob)
        delete(store, bob)
        assert store.graph.relations(ada, [bob, eve]) == {
            bob: Relation(following=True, gone=True),
            eve: Relation(),
        }

    def test_a_concurrent_follow_leaves_nothing_behind(self, store: RelationalStore) -> None:
        for _ in range(8):
            ada, bob = register(store, 2)
            with ThreadPoolExecutor(2) as pool:
                following, deleting = pool.submit(follow, store, ada, bob), pool.submit(delete, store, bob)
            refused = following.exception()
            made = refused is None
            assert made or isinstance(refused, NotFound)
            assert deleting.exception() is None
            found = do(store, lambda tx, who=bob: tx.graph.forget(who, limit=9))  # type: ignore[misc]
            assert len(found.follows) == made
            assert store.graph.counts([ada]) == {ada: GraphCounts()}


class TestForget:
    def test_edges_are_removed_in_slices_and_uncounted(self, store: RelationalStore) -> None:
        ada, *others = register(store, 6)
        edges = [
            follow(store, ada, others[0]),
            follow(store, others[0], ada),
            follow(store, others[1], ada),
        ]
        kept = follow(store, others[0], others[1])
        with store.transaction() as tx:
            tx.graph.block(ada, others[2], NOW)
            tx.graph.block(others[3], ada, NOW)
            tx.graph.block(others[3], others[4], NOW)
        delete(store, ada)
        gone: list[Follow] = []
        for _ in range(9):
            found = do(store, lambda tx: tx.graph.forget(ada, limit=1))
            gone += found.follows
            if not found.more:
                break
        assert (sorted(gone, key=repr), found) == (sorted(edges, key=repr), Forgotten([], more=False))
        counts = store.graph.counts(others)
        assert [counts[other] for other in others[:2]] == [GraphCounts(0, 1), GraphCounts(1, 0)]
        assert store.graph.followees(others[0]) == {others[1]: False}
        assert kept.follower == others[0]
        assert set(store.graph.relations(ada, others).values()) == {Relation()}
        assert store.graph.relations(others[3], [others[4]]) == {others[4]: Relation(blocking=True)}

    def test_likes_are_removed_in_slices_and_uncounted(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        posts = sorted(uuid4() for _ in range(3))
        with store.transaction() as tx:
            for post in posts:
                for one in (ada, bob):
                    tx.likes.like(Like(one, post, NOW))
        delete(store, ada)
        slices = [do(store, lambda tx: tx.likes.forget(ada, limit=2)) for _ in range(3)]
        assert [len(found) for found in slices] == [2, 1, 0]
        assert sorted(like.post_id for found in slices for like in found) == posts
        assert {like.account_id for found in slices for like in found} == {ada}
        assert store.likes.counts(posts) == dict.fromkeys(posts, 1)
        assert store.likes.liked(bob, posts) == set(posts)

    def test_two_concurrent_calls_uncount_once(self, store: RelationalStore) -> None:
        ada, *others = register(store, 9)
        post = uuid4()
        for other in others:
            follow(store, other, ada)
        do(store, lambda tx: tx.likes.like(Like(ada, post, NOW)))
        delete(store, ada)

        def both(tx: Transaction) -> int:
            return len(tx.graph.forget(ada, limit=20).follows) + len(tx.likes.forget(ada, limit=20))

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda _: do(store, both), range(2)))
        assert sum(done) == len(others) + 1
        assert set(store.graph.counts(others).values()) == {GraphCounts()}
        assert store.likes.counts([post]) == {post: 0}


class TestHandles:
    def test_a_reserved_handle_is_for_its_former_owner_only(self, store: RelationalStore) -> None:
        one, former = account(), f"H{uuid4().hex[:20]}"
        add(store, one)
        do(store, lambda tx: tx.accounts.reserve(former, one.id, until=LATER))
        thief = account(handle=former.lower())
        with pytest.raises(Conflict) as refused:
            add(store, thief)
        assert refused.value.field == "handle"
        assert store.accounts.get([thief.id]) == {}
        back = replace(one, handle=former, version=2)
        with store.transaction() as tx:
            tx.accounts.replace(back, if_version=1)
            tx.accounts.claim(former, one.id, at=NOW)
        assert store.accounts.by_handle(former) == back

    def test_a_reservation_ends(self, store: RelationalStore) -> None:
        one, former = account(), f"h{uuid4().hex[:20]}"
        add(store, one)
        do(store, lambda tx: tx.accounts.reserve(former, one.id, until=LATER))
        add(store, account(handle=former, created_at=LATER))

    def test_taking_it_back_ends_the_reservation(self, store: RelationalStore) -> None:
        (one,) = register(store)
        former = f"h{uuid4().hex[:20]}"
        do(store, lambda tx: tx.accounts.reserve(former, one, until=LATER))
        do(store, lambda tx: tx.accounts.claim(former, one, at=NOW))
        add(store, account(handle=former))

    def test_the_last_account_to_give_it_up_may_claim_it(self, store: RelationalStore) -> None:
        one, other = register(store, 2)
        former = f"h{uuid4().hex[:20]}"
        for who in (one, other):
            do(store, lambda tx, who=who: tx.accounts.reserve(former, who, until=LATER))  # type: ignore[misc]
        with pytest.raises(Conflict):
            do(store, lambda tx: tx.accounts.claim(former, one, at=NOW))
        do(store, lambda tx: tx.accounts.claim(former, other, at=NOW))

    def test_ended_reservations_are_removed_in_batches(self, store: RelationalStore) -> None:
        (one,) = register(store)
        do(store, lambda tx: tx.accounts.end_reservations(before=LATER, limit=1000))
        names = [f"h{uuid4().hex[:20]}" for _ in range(3)]
        for days, name in enumerate(names):
            until = LATER + timedelta(days=days)
            do(store, lambda tx, name=name, until=until: tx.accounts.reserve(name, one, until=until))  # type: ignore[misc]
        ended = [
            do(store, lambda tx: tx.accounts.end_reservations(before=LATER + timedelta(days=1), limit=1))
            for _ in range(3)
        ]
        assert ended == [1, 1, 0]


class TestKeep:
    def test_returns_the_accounts_that_exist(self, store: RelationalStore) -> None:
        here, gone = register(store, 2)
        delete(store, gone)
        assert do(store, lambda tx: tx.graph.begin_keep({here, gone, uuid4()})()) == {here}
        assert do(store, lambda tx: tx.graph.begin_keep(set())()) == set()

    def test_a_kept_account_exists_until_the_commit(self, store: RelationalStore) -> None:
        ids = register(store, 16)

        def keep() -> None:
            for one in ids:
                with store.transaction() as tx:
                    before = tx.graph.begin_keep({one})()
                    assert [tx.graph.begin_keep({one})() for _ in range(5)] == [before] * 5

        def leave() -> None:
            for one in ids:
                do_retrying(store, lambda tx, one=one: tx.accounts.delete(one, at=NOW, if_hash="hash"))  # type: ignore[misc]

        assert together([keep, leave]) == [None, None]
        assert do(store, lambda tx: tx.graph.begin_keep(ids)()) == set()


def test_many_events_are_written_at_once(store: RelationalStore) -> None:
    events = [Event(uuid4(), "t", f"about {n % 3} {uuid4().hex}", NOW, b"{}") for n in range(7)]
    do(store, lambda tx: tx.emit(*events))
    do(store, lambda tx: tx.emit())
    claims = store.outbox.claim(now=LATER, lease_until=LATER, limit=99)
    assert sorted((claim.event for claim in claims), key=repr) == sorted(events, key=repr)


def test_likes_are_listed_by_account(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    posts = sorted(uuid4() for _ in range(4))
    for post in reversed(posts):
        do(store, lambda tx, post=post: tx.likes.like(Like(ada, post, NOW)))  # type: ignore[misc]
    do(store, lambda tx: tx.likes.like(Like(bob, posts[0], NOW)))
    assert store.likes.of_account(ada, after=None, limit=99) == [Like(ada, post, NOW) for post in posts]
    assert [like.post_id for like in store.likes.of_account(ada, after=posts[0], limit=2)] == posts[1:3]
    assert store.likes.of_account(ada, after=posts[-1], limit=2) == []
