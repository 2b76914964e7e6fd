"""SQL that reads fan-outs, their audience and pulled authors."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, func, literal_column, or_, select

from repositories.records.feeds import Fanout, PulledAuthor, Situation, Stage
from repositories.relational.feeds_port import FanoutReads
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.feeds_tables import (
    PULLED,
    RUNNING,
    constant,
    fanouts,
    feed_activity,
    pulled_authors,
)
from repositories.relational.schema.tables import account_counters, follows
from repositories.relational.statement_runner import RunnerBacked

_FANOUT = tuple(fanouts.c[name] for name in Fanout.__struct_fields__)
_PULLED_AUTHOR = tuple(pulled_authors.c[name] for name in PulledAuthor.__struct_fields__)

_post = bindparam("post_id", type_=ID)
_author = bindparam("author_id", type_=ID)
_one_row = select(literal_column("1", BigInteger()).label("one")).subquery("one_row")
_SITUATION = select(account_counters.c.followers, *_PULLED_AUTHOR, *_FANOUT).select_from(
    _one_row.outerjoin(account_counters, account_counters.c.account_id == _author)
    .outerjoin(pulled_authors, pulled_authors.c.author_id == _author)
    .outerjoin(fanouts, fanouts.c.post_id == _post)
)
_PROGRESS = select(*_FANOUT).where(fanouts.c.post_id == _post)

_is_awake = feed_activity.c.state != constant("dormant")
_AUDIENCE_SIZE = (
    select(func.count())
    .select_from(follows.join(feed_activity, feed_activity.c.account_id == follows.c.follower))
    .where(follows.c.followee == _author, _is_awake)
)
_recent, _begun = bindparam("recent", type_=TIME), bindparam("begun", type_=TIME)
_seen: dict[Stage, ColumnElement[bool]] = {
    "all": _is_awake,
    "recent": and_(_is_awake, feed_activity.c.seen_at >= _recent, feed_activity.c.seen_at < _begun),
    "rest": and_(_is_awake, or_(feed_activity.c.seen_at < _recent, feed_activity.c.seen_at >= _begun)),
}


def _stage(condition: ColumnElement[bool]) -> Select[UUID]:
    """Followers by id, filtered by a scalar subquery: for a join the planner might scan all feed activity first."""
    reads = (
        select(condition).where(feed_activity.c.account_id == follows.c.follower).correlate(follows).scalar_subquery()
    )
    return (
        select(follows.c.follower).where(follows.c.followee == _author, reads).order_by(follows.c.follower).limit(LIMIT)
    )


_STAGES = {stage: _stage(condition) for stage, condition in _seen.items()}
_AFTER = {stage: page.where(follows.c.follower > bindparam("after", type_=ID)) for stage, page in _STAGES.items()}

_POSTPONED = (
    select(*_FANOUT).where(PULLED, fanouts.c.author_id == _author).order_by(fanouts.c.post_id.desc()).limit(LIMIT)
)
_PULLED_AUTHORS = select(*_PULLED_AUTHOR).order_by(pulled_authors.c.author_id).limit(LIMIT)
_PULLED_AUTHORS_AFTER = _PULLED_AUTHORS.where(pulled_authors.c.author_id > bindparam("after", type_=ID))
_LAG = select(func.count(), func.min(fanouts.c.published_at)).where(RUNNING)


def fanout_row(fanout: Fanout) -> dict[str, Any]:
    row = {name: getattr(fanout, name) for name in fanout.__struct_fields__}
    return row | {"lag_histogram": json.dumps(fanout.lag_histogram)}


def _fanout(row: Sequence[Any]) -> Fanout:
    values = dict(zip(Fanout.__struct_fields__, row, strict=True))
    lag_histogram = tuple((bucket, count) for bucket, count in json.loads(values["lag_histogram"]))
    return Fanout(**values | {"lag_histogram": lag_histogram})


class SqlFanoutReads(RunnerBacked, FanoutReads):
    def situation(self, post_id: UUID, author_id: UUID) -> Situation:
        values = {"post_id": post_id, "author_id": author_id}
        followers, *rest = self._runner.rows(_SITUATION, values)[0]
        pulled, fanout = rest[: len(_PULLED_AUTHOR)], rest[len(_PULLED_AUTHOR) :]
        return Situation(
            fanout=None if fanout[0] is None else _fanout(fanout),
            pulled=None if pulled[0] is None else PulledAuthor(*pulled),
            followers=followers or 0,
        )

    def progress(self, post_id: UUID) -> Fanout | None:
        rows = self._runner.rows(_PROGRESS, {"post_id": post_id})
        return _fanout(rows[0]) if rows else None

    def audience(
        self,
        author_id: UUID,
        *,
        stage: Stage = "all",
        recent: datetime | None = None,
        begun: datetime | None = None,
        after: UUID | None,
        limit: int,
    ) -> list[UUID]:
        values: dict[str, Any] = {"author_id": author_id, "limit": limit}
        if stage != "all":
            values |= {"recent": recent, "begun": begun}
        if after is None:
            return [follower for (follower,) in self._runner.rows(_STAGES[stage], values)]
        return [follower for (follower,) in self._runner.rows(_AFTER[stage], values | {"after": after})]

    def audience_size(self, author_id: UUID) -> int:
        number: int = self._runner.rows(_AUDIENCE_SIZE, {"author_id": author_id})[0][0]
        return number

    def postponed(self, author_id: UUID, *, limit: int) -> list[Fanout]:
        return [_fanout(row) for row in self._runner.rows(_POSTPONED, {"author_id": author_id, "limit": limit})]

    def pulled_authors(self, *, after: UUID | None, limit: int) -> list[PulledAuthor]:
        if after is None:
            return [PulledAuthor(*row) for row in self._runner.rows(_PULLED_AUTHORS, {"limit": limit})]
        rows = self._runner.rows(_PULLED_AUTHORS_AFTER, {"limit": limit, "after": after})
        return [PulledAuthor(*row) for row in rows]

    def lag(self) -> tuple[int, datetime | None]:
        running, oldest = self._runner.rows(_LAG, {})[0]
        return running, oldest
