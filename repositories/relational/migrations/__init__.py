"""Alembic's migrations of the relational schema, run from code without an ini file."""

import threading
from pathlib import Path

from sqlalchemy import Connection

from repositories.errors import Unavailable

# Alembic keeps the running migration in a global variable.
_one_at_a_time = threading.Lock()


def head() -> str:
    """The revision that this version of Quartet migrates to."""
    from alembic.script import ScriptDirectory  # as below

    return str(ScriptDirectory(str(Path(__file__).parent)).get_current_head())


def upgrade(connection: Connection | None, *, dry_run: bool) -> list[str]:
    """Bring the database behind the connection up to date; without a connection, say what a new one needs.

    Raises `Unavailable` where a newer version of Quartet has migrated it.
    """
    # Imported here: a worker that only serves needs none of it, and it takes a sixth of the time of its start.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.script.revision import RevisionError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_heads() if connection is not None else ()
    try:
        pending = list(script.iterate_revisions("heads", current or "base"))
    except RevisionError as error:
        reason = f"migrated by a version of Quartet that this one does not know: {error}"
        raise Unavailable("relational", reason) from error
    if pending and not dry_run:
        config.attributes["connection"] = connection
        with _one_at_a_time:
            command.upgrade(config, "head")
    return [f"relational: {revision.revision} {revision.doc}" for revision in reversed(pending)]
