"""Readers: what a page must know first, and how a reader falls asleep and wakes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)

from repositories.feed_records import Standing
from repositories.relational.feeds_port import ReaderReads, ReaderWrites
from repositories.relational.runner import Runner
from repositories.relational.schema.columns import ID, LIMIT, TIME, one_of
from repositories.relational.schema.feeds_tables import AWAKE, constant, pulled_authors, readers
from repositories.relational.schema.tables import account_counters, follows

_reader = bindparam("id", type_=ID)
_no_reader = (null(), null(), null())
_following = select(account_counters.c.following).where(account_counters.c.account_id == _reader).scalar_subquery()
_all_pulled = select(func.count()).select_from(pulled_authors).scalar_subquery()
_is_pulled = select(true()).where(pulled_authors.c.author_id == follows.c.followee)
_is_followed = select(true()).where(follows.c.follower == _reader, follows.c.followee == pulled_authors.c.author_id)
# Whichever are fewer, the reader's followees or the pulled authors, are looked up among the others one by one: by
# subqueries, since a join has one plan for everybody, which is that for a reader who follows few.
_STANDING = union_all(
    select(readers.c.state, readers.c.turn, readers.c.seen_at, readers.c.floor.label("one")).where(
        readers.c.account_id == _reader
    ),
    select(*_no_reader, follows.c.followee).where(follows.c.follower == _reader, ~follows.c.filled),
    select(*_no_reader, follows.c.followee).where(
        follows.c.follower == _reader, _following <= _all_pulled, _is_pulled.scalar_subquery()
    ),
    select(*_no_reader, pulled_authors.c.author_id).where(_following > _all_pulled, _is_followed.scalar_subquery()),
)
_UNKNOWN = Standing("dormant", 0, datetime(1970, 1, 1, tzinfo=UTC), None)

_at = bindparam("at", type_=TIME)
_floor = bindparam("new_floor", type_=ID)
_waking = readers.c.state == constant("waking")
_this = update(readers).where(readers.c.account_id == bindparam("its_id"))
_SEEN = _this.where(readers.c.seen_at < _at).values(seen_at=_at)
_REBUILD = _this.values(
    state=constant("waking"),
    turn=readers.c.turn + 1,
    seen_at=case((readers.c.seen_at < _at, _at), else_=readers.c.seen_at),
)
_WAKE = _REBUILD.where(readers.c.state == constant("dormant"))
_FINISH = _this.where(_waking, readers.c.turn == bindparam("its_turn", type_=BigInteger())).values(
    state=constant("awake"), floor=_floor
)
_is_lower = or_(readers.c.floor.is_(None), readers.c.floor < _floor)
# A waking reader's own floor is of a former turn, so any floor is news to whoever is about to finish it.
_RAISE_FLOOR = _this.where(or_(_is_lower, _waking)).values(
    floor=case((_is_lower, _floor), else_=readers.c.floor),
    turn=readers.c.turn + case((_waking, literal_column("1", Integer)), else_=literal_column("0", Integer)),
)
_idle = (
    select(readers.c.account_id)
    .where(AWAKE, readers.c.seen_at < bindparam("seen_before", type_=TIME))
    .order_by(readers.c.seen_at, readers.c.account_id)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
    .cte("idle")
)
_SLEEP = (
    update(readers)
    .where(one_of(readers.c.account_id, select(_idle.c.account_id).scalar_subquery()))
    .values(state=constant("dormant"))
    .returning(readers.c.account_id)
)


def reader_row(account_id: UUID, seen_at: datetime) -> dict[str, Any]:
    """The row of a new reader."""
    return {"account_id": account_id, "state": "awake", "turn": 0, "seen_at": seen_at, "floor": None}


class SqlReaderReads(ReaderReads):
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def standing(self, account_id: UUID) -> Standing:
        standing, pulled = _UNKNOWN, set[UUID]()
        for state, turn, seen_at, one in self._runner.rows(_STANDING, {"id": account_id}):
            if state is None:
                pulled.add(one)
            else:
                standing = Standing(state, turn, seen_at, one)
        return Standing(standing.state, standing.turn, standing.seen_at, standing.floor, tuple(sorted(pulled)))


class SqlReaderWrites(ReaderWrites):
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def seen(self, account_id: UUID, at: datetime) -> None:
        self._runner.change(_SEEN, {"its_id": account_id, "at": at})

    def wake(self, account_id: UUID, at: datetime) -> bool:
        return bool(self._runner.change(_WAKE, {"its_id": account_id, "at": at}))

    def rebuild(self, account_id: UUID, at: datetime) -> bool:
        return bool(self._runner.change(_REBUILD, {"its_id": account_id, "at": at}))

    def finish(self, account_id: UUID, *, turn: int, floor: UUID | None) -> bool:
        values = {"its_id": account_id, "its_turn": turn, "new_floor": floor}
        return bool(self._runner.change(_FINISH, values))

    def raise_floor(self, account_id: UUID, floor: UUID) -> None:
        self._runner.change(_RAISE_FLOOR, {"its_id": account_id, "new_floor": floor})

    def sleep(self, *, seen_before: datetime, limit: int) -> list[UUID]:
        rows = self._runner.rows(_SLEEP, {"seen_before": seen_before, "limit": limit})
        return [account_id for (account_id,) in rows]
