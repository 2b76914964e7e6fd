"""Readers in each state, and commands on them, for tests."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from repositories.records.graph import Follow
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW, account, login
from tests.contracts.transactions import MICROSECOND, do

LOW, HIGH = UUID(int=1 << 100), UUID(int=0xFF << 120)


def state(store: RelationalStore, reader: UUID) -> str:
    return store.feed_activity.reader_state(reader).state


def pull(store: RelationalStore, authors: Collection[UUID]) -> None:
    with store.transaction() as unit:
        for author in authors:
            unit.fanouts.pull(author, at=NOW, reason="shed")


def follow(store: RelationalStore, follower: UUID, authors: Collection[UUID], *, filled: bool = True) -> None:
    edges = [Follow(follower, author, NOW) for author in authors]
    with store.transaction() as unit:
        for edge in edges:
            unit.graph.follow(edge)
            if filled:
                unit.graph.filled(edge)


def dormant(store: RelationalStore, seen_at: datetime = NOW) -> UUID:
    """A new dormant reader."""
    reader = awake(store, seen_at)
    while state(store, reader) != "dormant":
        assert do(store, lambda unit: unit.feed_activity.sleep(seen_before=seen_at + MICROSECOND, limit=99)) != []
    return reader


def awake(store: RelationalStore, seen_at: datetime = NOW) -> UUID:
    one = account(created_at=seen_at)
    do(store, lambda unit: unit.accounts.add(one, login(one)))
    return one.id


def waking(store: RelationalStore) -> UUID:
    """A new waking reader, at generation 1."""
    reader = awake(store)
    assert do(store, lambda unit: unit.feed_activity.rebuild(reader, NOW)) is True
    return reader


def finish(store: RelationalStore, reader: UUID, generation: int, low_watermark: UUID | None) -> bool:
    with store.transaction() as unit:
        return unit.feed_activity.finish(reader, generation=generation, low_watermark=low_watermark)


def raise_low_watermark(store: RelationalStore, reader: UUID, low_watermark: UUID) -> None:
    with store.transaction() as unit:
        unit.feed_activity.raise_low_watermark(reader, low_watermark)
