"""Modules that must not be imported at start, since a server's first answer waits for every import."""

import subprocess
import sys

import pytest
from alembic.script import ScriptDirectory

from repositories.relational import migrations

LISTED = "import sys; print(*sys.modules)"


def modules(statement: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{statement}; {LISTED}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "needless"),
    [
        ("import app.cli", {"app.container", "sqlalchemy", "flask", "granian", "rich"}),
        ("import app.cli, app.http, app.seed.command", {"alembic", "rich", "pymongo", "cassandra", "psycopg", "redis"}),
        ("import app.cli, app.http, app.seed.command", {"sqlalchemy.dialects.postgresql", "h11", "iso4217", "smtplib"}),
    ],
)
def test_modules_that_a_start_does_not_need_are_not_imported(statement: str, needless: set[str]) -> None:
    assert modules(statement) & needless == set()


def test_the_title_of_each_migration_says_what_it_does() -> None:
    """`quartet migrate` prints the titles."""
    scripts = list(ScriptDirectory(str(migrations.FOLDER)).walk_revisions())
    verbs = {"add", "chain", "create", "number", "rename", "split", "store"}
    assert [one.doc for one in scripts if one.doc.split()[0] not in verbs or one.doc.endswith((".", ","))] == []


def test_the_names_of_the_migrations_say_which_is_the_last() -> None:
    assert migrations.head() == ScriptDirectory(str(migrations.FOLDER)).get_current_head()
