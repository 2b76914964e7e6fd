"""The contract of the relational store: the followers to whom a fan-out delivers."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from repositories.errors import Invalid
from repositories.records.feeds import PulledAuthor, Situation, Stage
from repositories.records.graph import Follow
from repositories.relational import RelationalStore
from tests.contracts.relational.fanout_records import STAGES, fanout, pull, save
from tests.contracts.relational_store import NOW, account, login, register
from tests.contracts.transactions import MICROSECOND, SECOND, do


class TestAudience:
    def test_excludes_the_dormant_and_is_ordered_by_id(self, store: RelationalStore) -> None:
        author, *readers = register(store, 9)
        asleep = _add_dormant(store)
        _follow(store, author, [*reversed(readers), asleep])
        do(store, lambda unit: unit.feed_activity.rebuild(readers[3], NOW))
        do(store, lambda unit: unit.graph.follow(Follow(author, readers[0], NOW)))
        assert _audience(store, author, limit=99) == readers
        assert _audience(store, author, limit=3) == readers[:3]
        assert _audience(store, author, limit=3, after=readers[2]) == readers[3:6]
        assert _audience(store, author, limit=3, after=UUID(int=readers[2].int - 1)) == readers[2:5]
        assert _audience(store, author, limit=3, after=readers[-1]) == []
        assert _audience(store, author, limit=0) == []
        assert store.fanouts.audience_size(author) == 8
        do(store, lambda unit: unit.feed_activity.wake(asleep, NOW))
        assert _audience(store, author, limit=99) == sorted([*readers, asleep])
        assert store.fanouts.audience_size(author) == 9

    def test_is_empty_without_followers(self, store: RelationalStore) -> None:
        (author,) = register(store)
        for one in (author, uuid4()):
            for stage in STAGES:
                assert store.fanouts.audience(one, stage=stage, recent=NOW, begun=NOW, after=None, limit=9) == []
            assert store.fanouts.audience_size(one) == 0

    def test_a_limit_below_0_is_invalid(self, store: RelationalStore) -> None:
        for stage in STAGES:
            with pytest.raises(Invalid):
                store.fanouts.audience(uuid4(), stage=stage, recent=NOW, begun=NOW, after=None, limit=-1)

    def test_ids_are_ordered_as_numbers(self, store: RelationalStore) -> None:
        (author,) = register(store)
        ids = [UUID(int=(uuid4().int >> 8) | (top << 120)) for top in (0x00, 0x7F, 0x80, 0xFF)]
        for one in ids:
            _add(store, NOW, id=one, handle=one.hex)
        _follow(store, author, ids)
        assert _audience(store, author, limit=9) == ids
        assert _audience(store, author, limit=9, after=ids[1]) == ids[2:]

    def test_the_stages_are_disjoint_and_complete(self, store: RelationalStore) -> None:
        recent, begun = NOW, NOW + SECOND
        moments = [recent - SECOND, recent - MICROSECOND, recent, begun - MICROSECOND, begun, begun + SECOND]
        (author,) = register(store)
        readers = {_add(store, moment): moment for moment in moments * 3}
        _follow(store, author, [*readers, _add_dormant(store)])
        first = _pages(store, author, "recent", recent, begun)
        rest = _pages(store, author, "rest", recent, begun)
        assert first == sorted(one for one, moment in readers.items() if recent <= moment < begun)
        assert rest == sorted(set(readers) - set(first))
        assert sorted(first + rest) == _audience(store, author, limit=99)

    def test_readers_seen_between_the_stages_are_in_the_rest(self, store: RelationalStore) -> None:
        recent, begun = NOW, NOW + SECOND
        (author,) = register(store)
        idle, active = _add(store, NOW - SECOND), _add(store, NOW)
        _follow(store, author, [idle, active])
        assert _pages(store, author, "recent", recent, begun) == [active]
        for one in (idle, active):
            do(store, lambda unit, one=one: unit.feed_activity.seen(one, begun))  # type: ignore[misc]  # default binds
        assert _pages(store, author, "rest", recent, begun) == sorted([idle, active])


class TestSituation:
    def test_of_the_unknown_is_empty(self, store: RelationalStore) -> None:
        assert store.fanouts.situation(uuid4(), uuid4()) == Situation(None, None, 0)

    def test_each_part_is_independent_of_the_others(self, store: RelationalStore) -> None:
        author, one, other = register(store, 3)
        _follow(store, author, [one, other, _add_dormant(store)])
        running = fanout(author_id=author)
        post = running.post_id
        assert store.fanouts.situation(post, author) == Situation(None, None, 3)
        pull(store, author, reason="threshold")
        its = PulledAuthor(author, "pulled", "threshold", NOW)
        assert store.fanouts.situation(post, author) == Situation(None, its, 3)
        save(store, running)
        assert store.fanouts.situation(post, author) == Situation(running, its, 3)
        assert store.fanouts.situation(post, one) == Situation(running, None, 0)
        assert store.fanouts.situation(uuid4(), author) == Situation(None, its, 3)


def _add(store: RelationalStore, seen_at: datetime, **changes: object) -> UUID:
    one = account(created_at=seen_at, **changes)
    do(store, lambda unit: unit.accounts.add(one, login(one)))
    return one.id


def _add_dormant(store: RelationalStore) -> UUID:
    """Add a dormant reader who was last seen longer ago than all others."""
    long_ago = NOW - SECOND * 1000
    reader = _add(store, long_ago)
    assert do(store, lambda unit: unit.feed_activity.sleep(seen_before=long_ago + SECOND, limit=1)) == [reader]
    return reader


def _follow(store: RelationalStore, author: UUID, readers: Sequence[UUID]) -> None:
    with store.transaction() as unit:
        for reader in readers:
            unit.graph.follow(Follow(reader, author, NOW))


def _audience(store: RelationalStore, author: UUID, *, limit: int, after: UUID | None = None) -> list[UUID]:
    return store.fanouts.audience(author, after=after, limit=limit)


def _pages(store: RelationalStore, author: UUID, stage: Stage, recent: datetime, begun: datetime) -> list[UUID]:
    """The whole audience of a stage, read in small pages."""
    found: list[UUID] = []
    while page := store.fanouts.audience(
        author, stage=stage, recent=recent, begun=begun, after=found[-1] if found else None, limit=4
    ):
        found += page
    return found
