"""INSERT ... ON CONFLICT for either engine, by SQLAlchemy's of SQLite.

That of PostgreSQL has a constraint's name besides, which SQLite knows nothing of; and whoever imports it imports all
drivers that SQLAlchemy knows for PostgreSQL, a tenth of a start that needs none of them.
"""

from typing import Any, Self

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite.dml import Insert, OnConflictDoNothing, OnConflictDoUpdate


class _DoNothing(OnConflictDoNothing):
    inherit_cache = True
    # What PostgreSQL's compiler asks for.
    constraint_target = None


class _DoUpdate(OnConflictDoUpdate):
    inherit_cache = True
    constraint_target = None


class InsertOrNot(Insert):
    """Its conflict is that of `index_elements`, or any."""

    inherit_cache = True

    def on_conflict_do_nothing(self, index_elements: Any = None, index_where: Any = None) -> Self:
        return self.ext(_DoNothing(index_elements, index_where))

    def on_conflict_do_update(
        self, index_elements: Any = None, index_where: Any = None, set_: Any = None, where: Any = None
    ) -> Self:
        return self.ext(_DoUpdate(index_elements, index_where, set_, where))


def insert(table: Table) -> InsertOrNot:
    return InsertOrNot(table)
