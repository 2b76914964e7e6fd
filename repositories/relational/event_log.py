"""The event log, the sinks' cursors and their dead letters as tables."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from repositories.driver_statements import AS_THEY_COME
from repositories.records.events import Event
from repositories.relational.event_log_port import (
    Cursor,
    Envelopes,
    EventLog,
    EventLogWrites,
    Logged,
    Ready,
    SinkDeadLetter,
    SinkState,
)
from repositories.relational.schema.columns import ID, LIMIT, TEXT, TIME
from repositories.relational.schema.functions import database_time, later, one_of
from repositories.relational.schema.tables import event_log, sink_dead_letters, sinks
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert
from repositories.relational.work import Work, WorkBacked

MOST_COUNTED = 100_000
_MICROSECOND = timedelta(microseconds=1)

_EVENT = tuple(event_log.c[name] for name in Event.__struct_fields__)
_sink, _position = bindparam("its_sink", type_=TEXT), bindparam("its_position", type_=BigInteger())
_until = later(database_time(), bindparam("micros", type_=BigInteger()))
_flag = bindparam("flag", type_=Boolean())
_named = sinks.c.name == _sink
_REGISTER = (
    insert(sinks)
    .values(name=_sink, position=0, due_at=database_time(), attempts=0)
    .on_conflict_do_nothing(index_elements=[sinks.c.name])
)
_CLAIM = (
    update(sinks)
    .where(
        _named,
        sinks.c.due_at <= database_time(),
        sinks.c.disabled_at.is_(None),
        or_(sinks.c.lease_until.is_(None), sinks.c.lease_until <= database_time()),
    )
    .values(lease=bindparam("new_lease", type_=ID), lease_until=_until)
    .returning(sinks.c.position, sinks.c.attempts, sinks.c.tried_since, sinks.c.failing_since)
)
_held = sinks.c.lease == bindparam("its_lease", type_=ID)
_ADVANCE = (
    update(sinks)
    .where(_named, _held)
    .values(
        position=_position,
        attempts=0,
        tried_since=null(),
        failing_since=case((_flag, null()), else_=sinks.c.failing_since),
        reason=case((_flag, null()), else_=sinks.c.reason),
        lease_until=_until,
    )
)
_attempts = bindparam("new_attempts", type_=Integer())
_RELEASE = (
    update(sinks)
    .where(_named, _held)
    .values(
        lease=null(),
        lease_until=null(),
        due_at=_until,
        attempts=_attempts,
        tried_since=case((_attempts > 0, func.coalesce(sinks.c.tried_since, database_time())), else_=null()),
        failing_since=case(
            (_attempts > 0, func.coalesce(sinks.c.failing_since, database_time())), else_=sinks.c.failing_since
        ),
        disabled_at=case((_flag, database_time()), else_=null()),
        reason=bindparam("new_reason", type_=TEXT),
    )
)
_NOTHING_FAILED = {
    "lease": null(),
    "lease_until": null(),
    "due_at": database_time(),
    "attempts": 0,
    "tried_since": null(),
    "failing_since": null(),
    "reason": null(),
}
_SWITCH = (
    update(sinks).where(_named).values(_NOTHING_FAILED | {"disabled_at": case((_flag, null()), else_=database_time())})
)
_AFTER = select(event_log.c.position, *_EVENT).where(event_log.c.position > _position)
_AFTER = _AFTER.order_by(event_log.c.position).limit(LIMIT)
_envelope = type_coerce(event_log.c.envelope, NullType())
_READY = select(
    event_log.c.position,
    event_log.c.aggregate,
    case((event_log.c.made_by == bindparam("maker", type_=TEXT), _envelope)),
).where(event_log.c.position > _position)
_READY = _READY.order_by(event_log.c.position).limit(LIMIT).execution_options(**AS_THEY_COME)
_since = (
    select(event_log.c.position - 1)
    .where(event_log.c.logged_at >= bindparam("since", type_=TIME))
    .order_by(event_log.c.logged_at, event_log.c.position)
    .limit(1)
    .scalar_subquery()
)
_REWIND = (
    update(sinks)
    .where(_named)
    .values(_NOTHING_FAILED | {"position": case((_since < sinks.c.position, _since), else_=sinks.c.position)})
    .returning(sinks.c.position)
)
_dead = sink_dead_letters.c
_DROP_DEAD_LETTERS = delete(sink_dead_letters).where(_dead.sink == _sink, _dead.position > _position)
_RETRY = update(sink_dead_letters).where(_dead.sink == _sink).values(again=true())
_FORGET = delete(sinks).where(_named)
_FORGET_DEAD_LETTERS = delete(sink_dead_letters).where(_dead.sink == _sink)
_behind = select(event_log.c.logged_at).where(event_log.c.position > sinks.c.position).order_by(event_log.c.position)
_STATES = select(
    sinks.c.name,
    sinks.c.position,
    select(func.count())
    .select_from(_behind.limit(MOST_COUNTED).correlate(sinks).subquery("waiting"))
    .scalar_subquery(),
    _behind.limit(1).correlate(sinks).scalar_subquery(),
    select(func.count())
    .select_from(sink_dead_letters)
    .where(sink_dead_letters.c.sink == sinks.c.name)
    .correlate(sinks)
    .scalar_subquery(),
    sinks.c.reason,
    sinks.c.failing_since,
    sinks.c.disabled_at,
).order_by(sinks.c.name)
_DEAD_LETTERS = (
    select(event_log.c.position, _dead.reason, _dead.dead_lettered_at, _dead.again, *_EVENT)
    .join_from(sink_dead_letters, event_log, event_log.c.position == sink_dead_letters.c.position)
    .where(sink_dead_letters.c.sink == _sink, sink_dead_letters.c.position > _position)
    .order_by(sink_dead_letters.c.position)
    .limit(LIMIT)
)

_APPEND = (
    insert(event_log).values(logged_at=database_time()).on_conflict_do_nothing(index_elements=[event_log.c.id]).inline()
)
_LOCK = select(sinks.c.position).where(_named, _held).with_for_update()
_set_aside = insert(sink_dead_letters).values(dead_lettered_at=database_time())
_DEAD_LETTER = _set_aside.on_conflict_do_update(
    index_elements=[_dead.sink, _dead.position], set_={"reason": _set_aside.excluded.reason, "again": false()}
)
_SETTLE = delete(sink_dead_letters).where(sink_dead_letters.c.sink == _sink, sink_dead_letters.c.position == _position)
_slowest = select(func.min(sinks.c.position)).where(sinks.c.disabled_at.is_(None))
_all_sent = func.coalesce(_slowest.scalar_subquery(), literal(2**63 - 1, BigInteger()))
_oldest = (
    select(event_log.c.position, event_log.c.logged_at)
    .where(
        event_log.c.position <= _all_sent,
        ~exists().where(sink_dead_letters.c.position == event_log.c.position),
    )
    .order_by(event_log.c.position)
    .limit(LIMIT)
    .subquery("oldest")
)
_old = select(_oldest.c.position).where(_oldest.c.logged_at < _until)
_SWEEP = delete(event_log).where(one_of(event_log.c.position, _old.scalar_subquery()))


class SqlEventLog(RunnerBacked, EventLog):
    def register(self, sink: str) -> None:
        self._runner.change(_REGISTER, {"its_sink": sink})

    def claim(self, sink: str, *, lease: timedelta) -> Cursor | None:
        new = uuid4()
        rows = self._runner.rows(_CLAIM, {"its_sink": sink, "new_lease": new, "micros": lease // _MICROSECOND})
        return Cursor(sink, rows[0][0], rows[0][1], new, *rows[0][2:]) if rows else None

    def after(self, position: int, *, limit: int) -> list[Logged]:
        rows = self._runner.rows(_AFTER, {"its_position": position, "limit": limit})
        return [Logged(row[0], Event(*row[1:])) for row in rows]

    def ready(self, position: int, *, limit: int, made_by: str) -> Sequence[Ready]:
        return self._runner.rows(_READY, {"its_position": position, "limit": limit, "maker": made_by})

    def advance(self, cursor: Cursor, position: int, *, lease: timedelta, delivered: bool = True) -> Cursor | None:
        values = {"its_position": position, "micros": lease // _MICROSECOND, "flag": delivered}
        moved = self._runner.change(_ADVANCE, _fence(cursor) | values)
        failing = None if delivered else cursor.failing_since
        return Cursor(cursor.sink, position, 0, cursor.lease, None, failing) if moved else None

    def release(
        self,
        cursor: Cursor,
        *,
        wait: timedelta,
        attempts: int = 0,
        reason: str | None = None,
        disabled: bool = False,
    ) -> None:
        values = {"micros": wait // _MICROSECOND, "new_attempts": attempts, "new_reason": reason, "flag": disabled}
        self._runner.change(_RELEASE, _fence(cursor) | values)

    def states(self) -> list[SinkState]:
        return [SinkState(*row) for row in self._runner.rows(_STATES, {})]

    def dead_letters(self, sink: str, *, after: int, limit: int) -> list[SinkDeadLetter]:
        rows = self._runner.rows(_DEAD_LETTERS, {"its_sink": sink, "its_position": after, "limit": limit})
        return [
            SinkDeadLetter(sink, Logged(at, Event(*event)), why, when, again) for at, why, when, again, *event in rows
        ]


class SqlEventLogWrites(WorkBacked, EventLogWrites):
    def append(self, events: Sequence[Event], envelopes: Envelopes | None = None) -> None:
        if events:
            self._work.change(_APPEND, [_row(event, envelopes) for event in events])

    def dead_letter(self, cursor: Cursor, position: int, reason: str) -> bool:
        if not self._work.rows(_LOCK, _fence(cursor)):
            return False
        self._work.change(_DEAD_LETTER, {"sink": cursor.sink, "position": position, "reason": reason})
        return True

    def settle(self, sink: str, positions: Collection[int]) -> None:
        for position in positions:
            self._work.change(_SETTLE, {"its_sink": sink, "its_position": position})

    def switch(self, sink: str, *, on: bool) -> bool:
        return bool(self._work.change(_SWITCH, {"its_sink": sink, "flag": on}))

    def rewind(self, sink: str, *, since: datetime) -> int | None:
        rows = self._work.rows(_REWIND, {"its_sink": sink, "since": since})
        if not rows:
            return None
        position = int(rows[0][0])
        self._work.change(_DROP_DEAD_LETTERS, {"its_sink": sink, "its_position": position})
        return position

    def retry(self, sink: str) -> int:
        return self._work.change(_RETRY, {"its_sink": sink})

    def forget(self, sink: str) -> bool:
        return forget_sink(self._work, sink)

    def sweep(self, *, kept: timedelta, limit: int) -> int:
        return self._work.change(_SWEEP, {"micros": -(kept // _MICROSECOND), "limit": limit})


def forget_sink(work: Work, sink: str) -> bool:
    """The cursor is removed first: that waits for a worker which is setting an event aside, and fences later ones."""
    known = bool(work.change(_FORGET, {"its_sink": sink}))
    work.change(_FORGET_DEAD_LETTERS, {"its_sink": sink})
    return known


def _fence(cursor: Cursor) -> dict[str, object]:
    return {"its_sink": cursor.sink, "its_lease": cursor.lease}


def _row(event: Event, envelopes: Envelopes | None) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(event, name) for name in Event.__struct_fields__}
    envelope = envelopes.of.get(event.id) if envelopes else None
    made_by = envelopes.made_by if envelopes and envelope else None
    return row | {"envelope": envelope, "made_by": made_by}
