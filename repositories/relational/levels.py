"""Samples of levels as rows."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import asdict
from sqlalchemy import bindparam, delete, select

from repositories.relational.levels_port import LevelReads, LevelSample, LevelWrites
from repositories.relational.schema.columns import TIME
from repositories.relational.schema.tables import levels
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert as upsert

_SINCE = (
    select(*(levels.c[name] for name in LevelSample.__struct_fields__))
    .where(levels.c.at >= bindparam("since", type_=TIME))
    .order_by(levels.c.level, levels.c.at)
)
_NOTE = upsert(levels).on_conflict_do_nothing().inline()
_FORGET = delete(levels).where(levels.c.at < bindparam("before", type_=TIME))


class SqlLevelReads(RunnerBacked, LevelReads):
    def since(self, at: datetime) -> list[LevelSample]:
        return [LevelSample(*row) for row in self._runner.rows(_SINCE, {"since": at})]


class SqlLevelWrites(RunnerBacked, LevelWrites):
    def note(self, samples: Sequence[LevelSample], *, forget: datetime) -> None:
        if samples:
            self._runner.change(_NOTE, [asdict(sample) for sample in samples])
        self._runner.change(_FORGET, {"before": forget})
