"""Alembic's migrations of the relational schema, run from code without an ini file.

A migration may have a function `fill(connection)`, which fills some rows and returns how many. Before `upgrade` it is
called until it returns 0, each time in a transaction of its own, so that concurrent writers of these rows do not wait
long. The migrations before it are committed first: the column that it fills exists by then, and so do the triggers that
fill it in new rows.
"""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from repositories.errors import Unavailable

FOLDER = Path(__file__).parent
_NAMES = re.compile(r'^(revision|down_revision)\b.* = ["\'](\w+)["\']$', re.MULTILINE)
# Alembic keeps the running migration in a global variable.
_one_at_a_time = threading.Lock()


def head() -> str:
    """The revision that this version of Quartet migrates to: the one that no other follows."""
    texts = (path.read_text(encoding="utf-8") for path in FOLDER.glob("versions/*.py"))
    found: list[dict[str, str]] = [dict(_NAMES.findall(text)) for text in texts]
    [last] = {one["revision"] for one in found} - {one.get("down_revision") for one in found}
    return last


def upgrade(begin: Callable[[], AbstractContextManager[Connection | None]], *, dry_run: bool) -> list[str]:
    """Bring the database up to date, in transactions of `begin`. Returns the migrations made, or those to be made.

    If `begin` gives no connection, these are those of a new database. Raises `Unavailable` if a newer version of
    Quartet has migrated the database.
    """
    # Most starts end here. Importing Alembic takes a tenth of a second, for which a server would wait.
    with begin() as connection:
        if connection is not None and _current(connection) == [head()]:
            return []
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    done: list[str] = []
    while True:
        with begin() as connection:
            pending = _pending(script, connection)
            if dry_run or not pending:
                return done + [_named(revision) for revision in pending]
            first, *others = pending
            fill = getattr(first.module, "fill", None)
            if fill is not None and fill(connection):
                continue
            together = [first, *takewhile(lambda revision: not hasattr(revision.module, "fill"), others)]
            config.attributes["connection"] = connection
            with _one_at_a_time:
                command.upgrade(config, together[-1].revision)
        done += [_named(revision) for revision in together]


def _pending(script: Any, connection: Connection | None) -> list[Any]:
    """The migrations that the database has not seen, oldest first."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script.revision import RevisionError

    current = MigrationContext.configure(connection).get_current_heads() if connection is not None else ()
    try:
        return list(script.iterate_revisions("heads", current or "base"))[::-1]
    except RevisionError as error:
        reason = f"migrated by a version of Quartet that this one does not know: {error}"
        raise Unavailable("relational", reason) from error


def _named(revision: Any) -> str:
    return f"relational: {revision.revision} {revision.doc}"


def _current(connection: Connection) -> Sequence[str]:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return []
    return connection.scalars(text("SELECT version_num FROM alembic_version")).all()
