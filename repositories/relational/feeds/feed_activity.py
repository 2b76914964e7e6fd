"""SQL of the feed activity: a reader's state, and its transitions between awake, dormant and waking."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Integer,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)

from repositories.records.feeds import ReaderState
from repositories.relational.feed_revision import REVISE
from repositories.relational.feeds_port import FeedActivityReads, FeedActivityWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.feeds_tables import AWAKE, constant, feed_activity, feed_signals, pulled_authors
from repositories.relational.schema.functions import among, one_of
from repositories.relational.schema.tables import account_counters, follows
from repositories.relational.statement_runner import RunnerBacked

_reader = bindparam("id", type_=ID)
_followed = constant("followed")
_no_reader = (null(), null(), null(), null(), null(), null())
_revision = select(account_counters.c.revision).where(account_counters.c.account_id == _reader).scalar_subquery()
_lost = select(cast(func.sum(feed_signals.c.lost), BigInteger)).scalar_subquery()
_published = select(cast(func.sum(feed_signals.c.published), BigInteger)).scalar_subquery()
_following = select(account_counters.c.following).where(account_counters.c.account_id == _reader).scalar_subquery()
_all_pulled = select(func.count()).select_from(pulled_authors).scalar_subquery()
_is_pulled = select(true()).where(pulled_authors.c.author_id == follows.c.followee)
_is_followed = select(true()).where(follows.c.follower == _reader, follows.c.followee == pulled_authors.c.author_id)
# Each row of the smaller set, the reader's followees or all pulled authors, is looked up in the other one. By
# subqueries, since a join gets one generic plan for all readers, chosen for those with few followees.
_READER_STATE = union_all(
    select(
        feed_activity.c.state,
        feed_activity.c.generation,
        feed_activity.c.seen_at,
        _revision.label("revision"),
        _lost.label("lost"),
        _published.label("published"),
        feed_activity.c.low_watermark.label("one"),
    ).where(feed_activity.c.account_id == _reader),
    select(*_no_reader, follows.c.followee).where(follows.c.follower == _reader, ~follows.c.filled),
    select(*_no_reader, follows.c.followee).where(
        follows.c.follower == _reader, _following <= _all_pulled, _is_pulled.scalar_subquery()
    ),
    select(*_no_reader, pulled_authors.c.author_id).where(_following > _all_pulled, _is_followed.scalar_subquery()),
    select(_followed, *_no_reader[1:], follows.c.followee).where(
        follows.c.follower == _reader, among(follows.c.followee, bindparam("authors", type_=IDS))
    ),
)
_FOLLOWED = "followed"
_UNKNOWN = ReaderState("dormant", 0, datetime(1970, 1, 1, tzinfo=UTC), None)

_at = bindparam("at", type_=TIME)
_low_watermark = bindparam("new_low_watermark", type_=ID)
_waking = feed_activity.c.state == constant("waking")
_this = update(feed_activity).where(feed_activity.c.account_id == bindparam("its_id"))
_SEEN = _this.where(feed_activity.c.seen_at < _at).values(seen_at=_at)
_REBUILD = _this.values(
    state=constant("waking"),
    generation=feed_activity.c.generation + 1,
    seen_at=case((feed_activity.c.seen_at < _at, _at), else_=feed_activity.c.seen_at),
)
_WAKE = _REBUILD.where(feed_activity.c.state == constant("dormant"))
_FINISH = _this.where(_waking, feed_activity.c.generation == bindparam("its_generation", type_=BigInteger())).values(
    state=constant("awake"), low_watermark=_low_watermark
)
_is_lower = or_(feed_activity.c.low_watermark.is_(None), feed_activity.c.low_watermark < _low_watermark)
# A waking reader's stored low watermark is of an earlier generation, so even a lower one must fence the running fill.
_RAISE_LOW_WATERMARK = _this.where(or_(_is_lower, _waking)).values(
    low_watermark=case((_is_lower, _low_watermark), else_=feed_activity.c.low_watermark),
    generation=feed_activity.c.generation
    + case((_waking, literal_column("1", Integer)), else_=literal_column("0", Integer)),
)
_idle = (
    select(feed_activity.c.account_id)
    .where(AWAKE, feed_activity.c.seen_at < bindparam("seen_before", type_=TIME))
    .order_by(feed_activity.c.seen_at, feed_activity.c.account_id)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
    .cte("idle")
)
_SLEEP = (
    update(feed_activity)
    .where(one_of(feed_activity.c.account_id, select(_idle.c.account_id).scalar_subquery()))
    .values(state=constant("dormant"))
    .returning(feed_activity.c.account_id)
)


def feed_activity_row(account_id: UUID, seen_at: datetime) -> dict[str, Any]:
    """The row of a new account."""
    return {"account_id": account_id, "state": "awake", "generation": 0, "seen_at": seen_at, "low_watermark": None}


class SqlFeedActivityReads(RunnerBacked, FeedActivityReads):
    def reader_state(self, account_id: UUID, authors: Collection[UUID] = ()) -> ReaderState:
        found, pulled, followed = _UNKNOWN, set[UUID](), list[UUID]()
        rows = self._runner.rows(_READER_STATE, {"id": account_id, "authors": authors})
        for state, generation, seen_at, revision, lost, published, one in rows:
            if state is None:
                pulled.add(one)
            elif state == _FOLLOWED:
                followed.append(one)
            else:
                found = ReaderState(state, generation, seen_at, one, (), revision or 0, lost, published)
        return replace(found, pulled=tuple(sorted(pulled)), followed=tuple(followed))


class SqlFeedActivityWrites(RunnerBacked, FeedActivityWrites):
    def seen(self, account_id: UUID, at: datetime) -> None:
        self._runner.change(_SEEN, {"its_id": account_id, "at": at})

    def wake(self, account_id: UUID, at: datetime) -> bool:
        return bool(self._runner.change(_WAKE, {"its_id": account_id, "at": at}))

    def rebuild(self, account_id: UUID, at: datetime) -> bool:
        return bool(self._runner.change(_REBUILD, {"its_id": account_id, "at": at}))

    def finish(self, account_id: UUID, *, generation: int, low_watermark: UUID | None) -> bool:
        values = {"its_id": account_id, "its_generation": generation, "new_low_watermark": low_watermark}
        return bool(self._runner.change(_FINISH, values))

    def raise_low_watermark(self, account_id: UUID, low_watermark: UUID) -> None:
        self._runner.change(_RAISE_LOW_WATERMARK, {"its_id": account_id, "new_low_watermark": low_watermark})

    def revise(self, account_id: UUID) -> None:
        self._runner.change(REVISE, {"its_account": account_id})

    def sleep(self, *, seen_before: datetime, limit: int) -> list[UUID]:
        rows = self._runner.rows(_SLEEP, {"seen_before": seen_before, "limit": limit})
        return [account_id for (account_id,) in rows]
