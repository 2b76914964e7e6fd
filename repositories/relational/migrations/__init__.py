"""Alembic's migrations of the relational schema, run from code without an ini file."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

# Alembic keeps the running migration in a global variable.
_one_at_a_time = threading.Lock()


def upgrade(connection: Connection | None, *, dry_run: bool) -> list[str]:
    """Bring the database behind the connection up to date; without a connection, say what a new one needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_heads() if connection is not None else ()
    pending = list(script.iterate_revisions("heads", current or "base"))
    if pending and not dry_run:
        config.attributes["connection"] = connection
        with _one_at_a_time:
            command.upgrade(config, "head")
    return [f"relational: {revision.revision} {revision.doc}" for revision in reversed(pending)]
