"""The relational role in an SQLite file as a place of a move."""

from pathlib import Path

from repositories.driver_statements import Direct
from repositories.moving.sqlite import SqliteEngine
from repositories.relational.bulk import Load
from repositories.relational.embedded.engine import Clock, filling_engine
from repositories.relational.embedded.errors import translated
from repositories.relational.migrations import money_triggers
from repositories.relational.moved_rows import APPEND_ONLY, TABLES, noted
from repositories.relational.moving import RelationalPlace, Working
from repositories.relational.statement_runner import Runner, Snapshot
from repositories.relational.work import transaction

_KEEPERS = [one for one in money_triggers.sqlite() if " BEFORE delete ON " in one]
_EMPTYING = (
    *(f"DROP TRIGGER {table}_no_delete" for table in APPEND_ONLY),
    *(f"DELETE FROM {table.name}" for table in reversed(TABLES)),  # noqa: S608  names of ours
    *_KEEPERS,
)
# SQLite numbers rows above the highest number ever used. A sink's position may be above the end of the log.
_NUMBERING = (
    """INSERT INTO sqlite_sequence (name, seq) SELECT 'event_log', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'event_log')""",
    """UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT max(position) FROM sinks), 0))
    WHERE name = 'event_log'""",
)


def place(
    path: Path, clock: Clock, runner: Runner, snapshot: Snapshot, working: Working, load: Load
) -> RelationalPlace:
    """Each batch is a transaction of its own, without checks of foreign keys, which would refuse it. The source has
    checked them, and the copy is compared with the source.
    """
    engine = filling_engine(path, clock)
    direct = Direct(engine)
    return RelationalPlace(
        SqliteEngine(path.exists),
        noted("hex({})"),
        runner,
        snapshot,
        working,
        load,
        emptying=_EMPTYING,
        numbering=_NUMBERING,
        filling=lambda: transaction(engine, direct, translated),
        apart=True,
    )
