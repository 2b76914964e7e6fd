"""The relational role in PostgreSQL as a place of a move."""

from repositories.moving.postgres import PostgresEngine
from repositories.relational.bulk import Load
from repositories.relational.moved_rows import APPEND_ONLY, TABLES, noted
from repositories.relational.moving import RelationalPlace, Working
from repositories.relational.statement_runner import Runner, Snapshot

_NAMES = ", ".join(table.name for table in TABLES)
_EMPTYING = (
    *(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only" for table in APPEND_ONLY),
    f"TRUNCATE {_NAMES}",
    *(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only" for table in APPEND_ONLY),
)


def place(runner: Runner, snapshot: Snapshot, working: Working, load: Load) -> RelationalPlace:
    return RelationalPlace(
        PostgresEngine(),
        noted("{}"),
        runner,
        snapshot,
        working,
        load,
        emptying=_EMPTYING,
        numbering=(),
        finish=(f"ANALYZE {_NAMES}",),
    )
