"""Ended sessions as rows."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import bindparam, delete, insert, select, tuple_

from repositories.records.people import Ending
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.functions import one_of
from repositories.relational.schema.tables import endings
from repositories.relational.session_endings_port import EndingReads, EndingWrites
from repositories.relational.statement_runner import RunnerBacked

_LOWEST = UUID(int=0)
_position = (endings.c.noted_at, endings.c.id)
_SINCE = (
    select(*(endings.c[name] for name in Ending.__struct_fields__))
    .where(tuple_(*_position) > tuple_(bindparam("at", type_=TIME), bindparam("after", type_=ID)))
    .order_by(*_position)
    .limit(LIMIT)
)
_GET = select(*(endings.c[name] for name in Ending.__struct_fields__)).where(
    endings.c.account_id == bindparam("account_id", type_=ID), endings.c.id == bindparam("id", type_=ID)
)
_ADD = insert(endings).inline()
_expired = select(endings.c.id).where(endings.c.over_at <= bindparam("before", type_=TIME))
_SWEEP = delete(endings).where(
    one_of(endings.c.id, _expired.order_by(endings.c.over_at).limit(LIMIT).scalar_subquery())
)


class SqlEndingReads(RunnerBacked, EndingReads):
    def since(self, at: datetime, *, after: UUID | None = None, limit: int) -> Sequence[Ending]:
        rows = self._runner.rows(_SINCE, {"at": at, "after": after or _LOWEST, "limit": limit})
        return [Ending(*row) for row in rows]

    def get(self, account_id: UUID, id_: UUID) -> Ending | None:
        rows = self._runner.rows(_GET, {"account_id": account_id, "id": id_})
        return Ending(*rows[0]) if rows else None


class SqlEndingWrites(RunnerBacked, EndingWrites):
    def add(self, ending: Ending) -> None:
        self._runner.change(_ADD, asdict(ending))

    def sweep(self, *, before: datetime, limit: int) -> int:
        return self._runner.change(_SWEEP, {"before": before, "limit": limit})
