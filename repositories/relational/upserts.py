"""INSERT ... ON CONFLICT for both engines, based on SQLAlchemy's dialect for SQLite.

The dialect for PostgreSQL adds only constraint names, which SQLite does not support. Importing it imports every
PostgreSQL driver that SQLAlchemy knows, which is a tenth of the start-up time and not needed.
"""

from typing import Any, Self

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite.dml import Insert, OnConflictDoNothing, OnConflictDoUpdate


class _DoNothing(OnConflictDoNothing):
    inherit_cache = True
    # PostgreSQL's compiler reads this attribute.
    constraint_target = None


class _DoUpdate(OnConflictDoUpdate):
    inherit_cache = True
    constraint_target = None


class InsertOrNot(Insert):
    """An INSERT whose conflict target is `index_elements`, or any unique constraint."""

    inherit_cache = True

    def on_conflict_do_nothing(self, index_elements: Any = None, index_where: Any = None) -> Self:
        return self.ext(_DoNothing(index_elements, index_where))

    def on_conflict_do_update(
        self, index_elements: Any = None, index_where: Any = None, set_: Any = None, where: Any = None
    ) -> Self:
        return self.ext(_DoUpdate(index_elements, index_where, set_, where))


def insert(table: Table) -> InsertOrNot:
    return InsertOrNot(table)
