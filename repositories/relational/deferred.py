"""Deferred work as rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, delete, select

from repositories.relational.deferred_port import Deferred, DeferredReads, DeferredWrites
from repositories.relational.schema.columns import IDS, LIMIT
from repositories.relational.schema.functions import among
from repositories.relational.schema.tables import deferred
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert

_FIRST = select(deferred.c.key, deferred.c.token, deferred.c.body, deferred.c.at).order_by(deferred.c.at).limit(LIMIT)
_new = insert(deferred)
_PUT = _new.on_conflict_do_update(
    index_elements=[deferred.c.key],
    set_={name: _new.excluded[name] for name in ("token", "body", "at")},
)
_DONE = delete(deferred).where(among(deferred.c.token, bindparam("tokens", type_=IDS)))


class SqlDeferredReads(RunnerBacked, DeferredReads):
    def first(self, *, limit: int) -> list[Deferred]:
        rows = self._runner.rows(_FIRST, {"limit": limit})
        return [Deferred(bytes(key), token, bytes(body), at) for key, token, body, at in rows]


class SqlDeferredWrites(RunnerBacked, DeferredWrites):
    def put(self, work: Mapping[bytes, bytes], *, at: datetime) -> None:
        # Sorted by key, so that two transactions that put the same keys never deadlock.
        rows = [{"key": key, "token": uuid4(), "body": body, "at": at} for key, body in sorted(work.items())]
        if rows:
            self._runner.change(_PUT, rows)

    def done(self, tokens: Sequence[UUID]) -> None:
        if tokens:
            self._runner.change(_DONE, {"tokens": list(tokens)})
