"""The relational role in PostgreSQL as a place of a move."""

from repositories.moving.postgres import PostgresEngine
from repositories.relational.audit.whole import Snapshot
from repositories.relational.bulk.money import Load
from repositories.relational.moved_rows import APPEND_ONLY, TABLES, noted
from repositories.relational.moving import RelationalPlace, Working
from repositories.relational.statement_runner import Runner

_NAMES = ", ".join(table.name for table in TABLES)
_EMPTYING = (
    *(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only" for table in APPEND_ONLY),
    f"TRUNCATE {_NAMES}",
    *(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only" for table in APPEND_ONLY),
)
# A sink may be further than the log reaches.
_NUMBERING = tuple(
    f"""SELECT setval(pg_get_serial_sequence('{table}', 'position'), highest)
    FROM (SELECT greatest({", ".join(f"(SELECT max(position) FROM {one})" for one in of)}) AS highest) AS found
    WHERE highest > 0"""  # noqa: S608  names of ours
    for table, of in {"outbox": ("outbox",), "event_log": ("event_log", "sinks")}.items()
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
        numbering=_NUMBERING,
        finish=(f"ANALYZE {_NAMES}",),
    )
