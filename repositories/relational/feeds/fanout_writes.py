"""SQL that writes fan-outs and pulled authors. Lock order: the author's row, then the fan-out's."""

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import (
    Integer,
    Tuple,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import tuple_ as row_of
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import ColumnElement

from repositories.records.feeds import Fanout, PullReason
from repositories.relational.feeds.fanouts import fanout_row
from repositories.relational.feeds_port import FanoutWrites
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.feeds_tables import (
    DONE,
    PULLED,
    RUNNING,
    SHARDS,
    constant,
    fanouts,
    feed_signals,
    pulled_authors,
)
from repositories.relational.schema.functions import one_of
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert

_new_fanout = insert(fanouts)
_old, _new = fanouts.c, _new_fanout.excluded


def _progress(of: ReadOnlyColumnCollection[str, ColumnElement[object]]) -> Tuple:
    """A row value that is greater for further progress."""
    stage = case((of.stage == constant("rest"), literal_column("1")), else_=literal_column("0"))
    return row_of(of.delivered, stage, func.coalesce(of.cursor, literal(UUID(int=0), ID)))


_retracts = and_(_new.state == constant("retracting"), _old.state != constant("retracting"))
_ends = and_(_new.state == constant("done"), _old.state.in_((constant("running"), constant("pulled"))))
_goes_on = and_(
    _old.state != constant("done"),
    or_(_old.state == _new.state, and_(RUNNING, _new.state == constant("pulled"))),
    _progress(_new) >= _progress(_old),
)
_SAVE = _new_fanout.on_conflict_do_update(
    index_elements=[fanouts.c.post_id],
    set_={column.name: _new[column.name] for column in fanouts.c if not column.primary_key},
    where=or_(_retracts, _ends, _goes_on),
)
_this_fanout = fanouts.c.post_id == bindparam("its_post", type_=ID)
_MARK_PULLED = update(fanouts).where(_this_fanout, RUNNING).values(state=constant("pulled"))
_FORGET = delete(fanouts).where(_this_fanout)
_swept = (
    select(fanouts.c.post_id)
    .where(DONE, fanouts.c.finished_at < bindparam("finished_before", type_=TIME))
    .order_by(fanouts.c.finished_at, fanouts.c.post_id)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
    .cte("swept")
)
_SWEEP = (
    delete(fanouts)
    .where(one_of(fanouts.c.post_id, select(_swept.c.post_id).scalar_subquery()))
    .returning(fanouts.c.post_id)
)

_this_shard = feed_signals.c.shard == bindparam("its_shard", type_=Integer())
_LOSE = update(feed_signals).where(_this_shard).values(lost=feed_signals.c.lost + 1)
_COUNT_PUBLISHED = update(feed_signals).where(_this_shard).values(published=feed_signals.c.published + 1)

_its_author = pulled_authors.c.author_id == bindparam("its_author", type_=ID)
_is_pulled = pulled_authors.c.state == constant("pulled")
_is_this_return = and_(
    pulled_authors.c.state == constant("returning"),
    pulled_authors.c.changed_at == bindparam("its_change", type_=TIME),
)
_new_author = insert(pulled_authors)
_PULL = _new_author.on_conflict_do_update(
    index_elements=[pulled_authors.c.author_id],
    set_={name: _new_author.excluded[name] for name in ("state", "reason", "changed_at")},
    where=~_is_pulled,
)
_LOCK_AUTHOR = select(pulled_authors.c.author_id).where(_its_author).with_for_update()
_LOCK_PULLED = _LOCK_AUTHOR.where(_is_pulled)
_LOCK_RETURN = _LOCK_AUTHOR.where(_is_this_return)
_BEGIN_RETURN = (
    update(pulled_authors)
    .where(_its_author, _is_pulled)
    .values(state=constant("returning"), changed_at=bindparam("at", type_=TIME))
)
_END_PULL = delete(pulled_authors).where(
    _its_author, ~exists().where(PULLED, fanouts.c.author_id == bindparam("its_author", type_=ID))
)


class SqlFanoutWrites(RunnerBacked, FanoutWrites):
    def save(self, fanout: Fanout) -> None:
        self._runner.change(_SAVE, fanout_row(fanout))
        if fanout.state == "pulled":
            # If the stored progress was further, the upsert did not apply. Then only the state changes.
            self._runner.change(_MARK_PULLED, {"its_post": fanout.post_id})

    def pull(self, author_id: UUID, *, at: datetime, reason: PullReason) -> None:
        row = {"author_id": author_id, "state": "pulled", "reason": reason, "changed_at": at}
        self._runner.change(_PULL, row)

    def postpone(self, fanout: Fanout) -> bool:
        if not self._runner.rows(_LOCK_PULLED, {"its_author": fanout.author_id}):
            return False
        self.save(replace(fanout, state="pulled"))
        return True

    def begin_return(self, author_id: UUID, at: datetime) -> bool:
        return bool(self._runner.change(_BEGIN_RETURN, {"its_author": author_id, "at": at}))

    def end_pull(self, author_id: UUID, *, changed_at: datetime) -> bool:
        # Two statements: the lock may have waited for a transaction that postponed a fan-out; the delete must see it.
        if not self._runner.rows(_LOCK_RETURN, {"its_author": author_id, "its_change": changed_at}):
            return False
        return bool(self._runner.change(_END_PULL, {"its_author": author_id}))

    def forget(self, post_id: UUID) -> None:
        self._runner.change(_FORGET, {"its_post": post_id})

    def lose(self) -> None:
        self._runner.change(_LOSE, {"its_shard": 0})

    def count_published(self, author_id: UUID) -> None:
        self._runner.change(_COUNT_PUBLISHED, {"its_shard": author_id.int % SHARDS})

    def sweep(self, *, finished_before: datetime, limit: int) -> int:
        return len(self._runner.rows(_SWEEP, {"finished_before": finished_before, "limit": limit}))
