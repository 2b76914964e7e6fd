"""The outbox table. Every statement is autocommitted.

Only the head of an aggregate can be claimed: its earliest event that is neither acknowledged nor dead-lettered.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, delete, exists, func, null, or_, select, update

from repositories.outbox import Backlog, Claim, DeadLetter, Outbox
from repositories.records.events import Event
from repositories.relational.schema.columns import ID, IDS, LIMIT, TEXT, TIME
from repositories.relational.schema.functions import among, database_time, one_of
from repositories.relational.schema.tables import deferred, outbox
from repositories.relational.statement_runner import RunnerBacked

MOST_COUNTED, MOST_EXAMINED = 100_000, 1_000

_EVENT = tuple(outbox.c[name] for name in Event.__struct_fields__)
_earlier = outbox.alias("earlier")
_waiting = outbox.c.dead_lettered_at.is_(None)
_NOW = select(database_time().label("now"))
_now = bindparam("now", type_=TIME)
# SKIP LOCKED passes over a head that another claimer is leasing; later events of its aggregate are not heads.
# After locking, PostgreSQL checks the condition again, so a head that was just leased no longer qualifies.
_heads = (
    select(outbox.c.position)
    .where(
        _waiting,
        outbox.c.due_at <= _now,
        or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= _now),
        ~exists().where(
            _earlier.c.dead_lettered_at.is_(None),
            _earlier.c.aggregate == outbox.c.aggregate,
            _earlier.c.position < outbox.c.position,
        ),
    )
    .order_by(outbox.c.due_at, outbox.c.position)
    .limit(LIMIT)
    .with_for_update(skip_locked=True, of=outbox)
    .cte("heads")
)
_CLAIM = (
    update(outbox)
    .where(one_of(outbox.c.position, select(_heads.c.position).scalar_subquery()))
    .values(lease=bindparam("new_lease"), lease_until=bindparam("new_lease_until"))
    .returning(outbox.c.due_at, outbox.c.position, outbox.c.attempts, *_EVENT)
)
_among_ids = among(outbox.c.id, bindparam("ids", type_=IDS))
_held = outbox.c.lease == bindparam("its_lease", type_=ID)
_give_back = update(outbox).values(lease=null(), lease_until=null())
_ACKNOWLEDGE = delete(outbox).where(_among_ids)
_RELEASE = _give_back.where(_among_ids, _held)
_one_held = _give_back.where(outbox.c.id == bindparam("its_id"), _held)
_POSTPONE = _one_held.values(
    due_at=bindparam("new_due"), attempts=bindparam("new_attempts"), reason=bindparam("new_reason", type_=TEXT)
)
_DEAD_LETTER = _one_held.values(
    dead_lettered_at=bindparam("new_dead_lettered"), reason=bindparam("new_reason"), attempts=bindparam("new_attempts")
)
_DEAD_LETTERS = (
    select(outbox.c.attempts, outbox.c.reason, outbox.c.dead_lettered_at, *_EVENT)
    .where(outbox.c.dead_lettered_at.is_not(None))
    .order_by(outbox.c.dead_lettered_at, outbox.c.position)
    .limit(LIMIT)
)
_REPLAY_ALL = (
    update(outbox)
    .where(outbox.c.dead_lettered_at.is_not(None))
    .values(dead_lettered_at=null(), reason=null(), due_at=bindparam("new_due"), attempts=0)
)
_REPLAY = _REPLAY_ALL.where(_among_ids)
# Events that were postponed with a reason are looked for among the first that are due. If more than these are due
# earlier, the relay is behind with those.
_by_due = select(outbox.c.due_at, outbox.c.reason).where(_waiting).order_by(outbox.c.due_at, outbox.c.position)
_due_first = _by_due.limit(MOST_EXAMINED).subquery("due_first")
# Counted along the index and up to a maximum, since the cache may be away for any length of time.
_oldest_deferred = select(deferred.c.at).order_by(deferred.c.at).limit(MOST_COUNTED).subquery("deferred")
_BACKLOG = select(
    select(func.count()).select_from(outbox).where(_waiting).scalar_subquery(),
    select(func.count()).select_from(outbox).where(outbox.c.dead_lettered_at.is_not(None)).scalar_subquery(),
    select(func.min(outbox.c.happened_at)).where(_waiting, outbox.c.reason.is_(None)).scalar_subquery(),
    select(func.min(_due_first.c.due_at)).where(_due_first.c.reason.is_not(None)).scalar_subquery(),
    select(func.count()).select_from(_oldest_deferred).scalar_subquery(),
)


class RelationalOutbox(RunnerBacked, Outbox):
    def now(self) -> datetime:
        at: datetime = self._runner.rows(_NOW, {})[0].now
        return at

    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        lease = uuid4()
        values = {"now": now, "limit": limit, "new_lease": lease, "new_lease_until": lease_until}
        rows = sorted(self._runner.rows(_CLAIM, values), key=lambda row: (row.due_at, row.position))
        return [Claim(Event(*event), attempts, lease) for _, _, attempts, *event in rows]

    def acknowledge(self, claims: Sequence[Claim]) -> None:
        if claims:
            self._runner.change(_ACKNOWLEDGE, {"ids": [claim.event.id for claim in claims]})

    def release(self, claims: Sequence[Claim]) -> None:
        by_lease: dict[UUID, list[UUID]] = defaultdict(list)
        for claim in claims:
            by_lease[claim.lease].append(claim.event.id)
        for lease, ids in by_lease.items():
            self._runner.change(_RELEASE, {"ids": ids, "its_lease": lease})

    def postpone(self, claim: Claim, *, due: datetime, attempts: int, reason: str | None = None) -> None:
        values = {"its_id": claim.event.id, "its_lease": claim.lease}
        self._runner.change(_POSTPONE, values | {"new_due": due, "new_attempts": attempts, "new_reason": reason})

    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        values = {"its_id": claim.event.id, "its_lease": claim.lease, "new_attempts": attempts}
        self._runner.change(_DEAD_LETTER, values | {"new_dead_lettered": now, "new_reason": reason})

    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        rows = self._runner.rows(_DEAD_LETTERS, {"limit": limit})
        return [DeadLetter(Event(*event), tries, why, at) for tries, why, at, *event in rows]

    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        if event_ids is None:
            return self._runner.change(_REPLAY_ALL, {"new_due": now})
        return self._runner.change(_REPLAY, {"new_due": now, "ids": list(event_ids)})

    def backlog(self) -> Backlog:
        unsent, dead_lettered, *waiting_since, deferred_work = self._runner.rows(_BACKLOG, {})[0]
        oldest = min((at for at in waiting_since if at is not None), default=None)
        return Backlog(unsent, dead_lettered, oldest, deferred_work)
