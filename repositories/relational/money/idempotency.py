"""Idempotency keys as rows. The port explains why a claim waits only briefly for another transaction.

A statement that may wait for a key shortens the lock timeout (`wait_briefly`); the row that it returns restores the
transaction's usual one (`wait_usually`).
"""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, bindparam, delete, select, update

from repositories.errors import Contention, Stale
from repositories.records.idempotency import Answer, Granted, InFlight, Mismatch, RequestKey
from repositories.relational.idempotency_port import Claimed, IdempotencyWrites
from repositories.relational.schema.columns import ID, LIMIT, TEXT
from repositories.relational.schema.functions import database_time, later, wait_briefly, wait_usually
from repositories.relational.schema.money_tables import request_keys
from repositories.relational.statement_runner import AnyRow
from repositories.relational.upserts import insert
from repositories.relational.work import Work
from repositories.translation import Undone

_CLAIMED = ("account_id", "route", "key", "fingerprint", "lease")
_now = select(database_time().label("now")).subquery("clock").c.now
_lease_end = later(_now, bindparam("micros", type_=BigInteger()))
_MICROSECOND = timedelta(microseconds=1)
_briefly = wait_briefly()
_usually = wait_usually(bindparam("patience", type_=TEXT)).label("patience")
_this = (
    request_keys.c.account_id == bindparam("its_account", type_=ID),
    request_keys.c.route == bindparam("its_route"),
    request_keys.c.key == bindparam("its_key"),
)
_its_lease = request_keys.c.lease == bindparam("its_lease", type_=ID)
_unanswered = request_keys.c.status.is_(None)
_CLAIM = (
    insert(request_keys)
    .from_select(
        (*_CLAIMED, "created_at", "lease_until"),
        select(
            *(bindparam(name, type_=request_keys.c[name].type).label(name) for name in _CLAIMED),
            _now.label("created_at"),
            _lease_end.label("lease_until"),
        ).where(_briefly),
    )
    .on_conflict_do_nothing()
    .returning(request_keys.c.created_at, _usually)
)
_FIND = select(request_keys, database_time().label("now"), _usually).where(*_this)
_TAKE_OVER = (
    update(request_keys)
    .where(*_this, _unanswered, _its_lease, _briefly)
    .values(lease=bindparam("lease"), lease_until=later(database_time(), bindparam("micros", type_=BigInteger())))
    .returning(_usually)
)
_END_LEASE = update(request_keys).where(*_this, _unanswered, _its_lease).values(lease_until=database_time())
_COMPLETE = (
    update(request_keys)
    .where(*_this, _unanswered, _its_lease)
    .values(status=bindparam("status"), headers=bindparam("headers"), body=bindparam("body"))
)
_ABANDON = delete(request_keys).where(*_this, _unanswered, _its_lease)
_old = (
    select(request_keys.c.account_id, request_keys.c.route, request_keys.c.key)
    .where(request_keys.c.created_at < bindparam("before"))
    .order_by(request_keys.c.created_at)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_SWEEP = delete(request_keys).where(*_this)


def _its(key: RequestKey) -> dict[str, Any]:
    return {"its_account": key.account_id, "its_route": key.route, "its_key": key.key}


class SqlIdempotencyWrites(IdempotencyWrites):
    def __init__(self, work: Work, patience: int) -> None:
        """`patience`: this transaction's usual lock timeout in milliseconds."""
        self._work = work
        self._patience = {"patience": str(patience)}
        # The leases that this transaction claimed. Their rows are locked, so none can be taken over before its end.
        self._own: set[UUID] = set()

    def claim(self, key: RequestKey, fingerprint: bytes, lease_time: timedelta) -> Claimed:
        try:
            return self._claim(key, fingerprint, lease_time)
        except Undone:
            raise
        except Contention:
            return InFlight()

    def _claim(self, key: RequestKey, fingerprint: bytes, lease_time: timedelta) -> Claimed:
        lease = uuid4()
        mine = {"lease": lease, "micros": lease_time // _MICROSECOND} | self._patience
        row = {"account_id": key.account_id, "route": key.route, "key": key.key}
        if claimed := self._work.rows(_CLAIM, row | mine | {"fingerprint": fingerprint}):
            self._work.seen = claimed[0].created_at
            self._own.add(lease)
            return Granted(lease)
        found = self._work.rows(_FIND, _its(key) | self._patience)
        if not found:
            return InFlight()
        self._work.seen = found[0].now
        known = _known(found[0], fingerprint)
        if not isinstance(known, InFlight) or found[0].lease_until > found[0].now:
            return known
        taken = self._work.rows(_TAKE_OVER, _its(key) | mine | {"its_lease": found[0].lease})
        if not taken:
            return known
        self._own.add(lease)
        return Granted(lease, taken_over=True)

    def complete(self, key: RequestKey, granted: Granted, answer: Answer) -> None:
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        values |= _its(key) | {"its_lease": granted.lease}
        if granted.lease in self._own:
            self._own.remove(granted.lease)
            self._work.queue(_COMPLETE, values)
        elif not self._work.change(_COMPLETE, values):
            raise self._work.refused(Stale())

    def abandon(self, key: RequestKey, granted: Granted) -> None:
        self._own.discard(granted.lease)
        self._work.change(_ABANDON, _its(key) | {"its_lease": granted.lease})

    def end_lease(self, key: RequestKey, granted: Granted) -> None:
        self._work.change(_END_LEASE, _its(key) | {"its_lease": granted.lease})

    def sweep(self, *, before: datetime, limit: int) -> int:
        old = self._work.rows(_old, {"before": before, "limit": limit})
        keys = [_its(RequestKey(*row)) for row in old]
        return self._work.change(_SWEEP, keys) if keys else 0


def _known(row: AnyRow, fingerprint: bytes) -> Answer | InFlight | Mismatch:
    if bytes(row.fingerprint) != fingerprint:
        return Mismatch()
    if row.status is None:
        return InFlight(row.lease_until - row.now)
    return Answer(row.status, json.loads(row.headers), bytes(row.body))
