"""Migrations that fill rows commit each batch in a separate transaction, and continue after an interruption."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from repositories.errors import Unavailable
from repositories.relational import RelationalStore, migrations
from tests.contracts.relational_store import new_database, opened

ROWS, BATCH = 25, 10
# Their names sort in the order in which they run, like those of the application.
MIGRATIONS = {
    "1table": """
def upgrade():
    op.execute("CREATE TABLE filled (id INTEGER PRIMARY KEY, before INTEGER, after BIGINT)")
    for number in range(25):
        op.execute(f"INSERT INTO filled (id, before) VALUES ({number}, {number})")
""",
    "2filled": """
def fill(connection):
    test_filling_migrations.watch()
    wanted = "SELECT id FROM filled WHERE after IS NULL LIMIT 10"
    return connection.execute(text(f"UPDATE filled SET after = before WHERE id IN ({wanted})")).rowcount


def upgrade():
    op.execute("CREATE INDEX filled_after ON filled (after)")
""",
    "3dropped": """
def upgrade():
    op.execute("CREATE TABLE contracted (id INTEGER)")
""",
}
HEAD = '''"""{name}"""
from alembic import op
from sqlalchemy import text
from tests.contracts.relational import test_filling_migrations
revision = "{name}"
down_revision = {before!r}
'''


def watch() -> None:
    """Do nothing. Migrations call it at the start of each batch, and tests replace it."""


@pytest.fixture(params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(migrations.FOLDER / "env.py", folder)
    before = None
    for name, body in MIGRATIONS.items():
        (folder / "versions" / f"{name}.py").write_text(HEAD.format(name=name, before=before) + body)
        before = name
    monkeypatch.setattr(migrations, "FOLDER", folder)
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    return f"sqlite:///{tmp_path / 'quartet.db'}"


@pytest.fixture
def store(url: str) -> Iterator[RelationalStore]:
    with opened(url) as store:
        yield store


@pytest.fixture
def other(url: str) -> Iterator[Connection]:
    """Another connection, on which a statement fails instead of waiting for a lock."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0" if url.startswith("sqlite") else "SET lock_timeout = 1")
        yield connection
    engine.dispose()


def test_each_batch_is_committed(store: RelationalStore, other: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    # `other` sees committed rows only, and could not read while a transaction locks the table.
    count = text("SELECT count(after) FROM filled")
    monkeypatch.setattr(f"{__name__}.watch", lambda: seen.append(other.execute(count).scalar_one()))
    planned = store.migrate(dry_run=True)
    assert [one.split()[1] for one in planned] == ["1table", "2filled", "3dropped"]
    assert seen == []
    assert store.migrate() == planned
    assert seen == [0, 10, 20, 25]
    assert store.migrate() == store.migrate(dry_run=True) == []
    assert other.execute(text("SELECT count(*) FROM filled WHERE after = before")).scalar_one() == ROWS


def test_an_interrupted_migration_is_continued(
    store: RelationalStore, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def interrupt() -> None:
        begun.append(1)
        if len(begun) == 3:
            raise Unavailable("relational", "cut off")

    monkeypatch.setattr(f"{__name__}.watch", interrupt)
    with pytest.raises(Unavailable, match="cut off"):
        store.migrate()
    assert other.execute(text("SELECT count(after) FROM filled")).scalar_one() == 2 * BATCH
    assert [one.split()[1] for one in store.migrate(dry_run=True)] == ["2filled", "3dropped"]
    # Meanwhile the application writes both columns.
    other.execute(text("INSERT INTO filled VALUES (1000, 7, 7)"))
    assert [one.split()[1] for one in store.migrate()] == ["2filled", "3dropped"]
    assert len(begun) == 5
    assert other.execute(text("SELECT count(*) FROM filled WHERE after = before")).scalar_one() == ROWS + 1
