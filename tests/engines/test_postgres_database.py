"""The PostgreSQL under the documents, feeds and hot stores."""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from repositories import meter
from repositories.errors import Conflict, Invalid
from repositories.postgres.database import PostgresDatabase, native
from repositories.sql import SchemaChange
from tests.contracts.relational_store import new_database
from tests.engines import Shared

TABLES = (
    "CREATE TABLE IF NOT EXISTS things (id bigint PRIMARY KEY, name text NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS things_name ON things (name)",
)
RENAME = SchemaChange(
    "rename things.title",
    "SELECT 1 FROM information_schema.columns WHERE table_name = 'things' AND column_name = 'title'",
    ("ALTER TABLE things RENAME COLUMN title TO name",),
)


@pytest.fixture
def url(engines: Shared) -> str:
    return new_database(engines.postgres())


@pytest.fixture
def database(url: str) -> Iterator[PostgresDatabase]:
    made = PostgresDatabase(url, "documents", timeout=timedelta(seconds=5), pool=2, fields={"things_name": "name"})
    yield made
    made.close()


@pytest.fixture
def things(database: PostgresDatabase) -> PostgresDatabase:
    database.migrate(TABLES, (RENAME,), dry_run=False)
    return database


def test_parameter_marks_are_translated_for_psycopg() -> None:
    assert native("SELECT a::text, ':b ?%' FROM c WHERE d % 2 = :e AND f = ?") == (
        b"SELECT a::text, ':b ?%%' FROM c WHERE d %% 2 = %(e)s AND f = %s"
    )
    assert (
        native("SELECT ?::text, unnest(:a::bigint[]), ?::uuid[]")
        == b"SELECT %s::text, unnest(%(a)b::bigint[]), %b::uuid[]"
    )


def test_a_migration_creates_missing_objects_and_applies_due_changes(url: str, database: PostgresDatabase) -> None:
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("CREATE TABLE things (id bigint PRIMARY KEY, title text NOT NULL)")
    due = ["documents: rename things.title", "documents: CREATE UNIQUE INDEX IF NOT EXISTS things_name ON things"]

    assert database.migrate(TABLES, (RENAME,), dry_run=True) == due
    assert database.migrate(TABLES, (RENAME,), dry_run=False) == due
    assert database.migrate(TABLES, (RENAME,), dry_run=False) == []


def test_a_transaction_is_atomic_and_reads_its_own_writes(things: PostgresDatabase) -> None:
    with things.write() as work:
        work.executemany("INSERT INTO things VALUES (?, ?)", [(1, "one"), (2, "two")])
        assert things.rows("SELECT count(*) FROM things") == [(2,)]
    with contextlib.suppress(ZeroDivisionError), things.write() as work:
        work.execute("DELETE FROM things")
        1 / 0  # noqa: B018

    assert things.rows("SELECT name FROM things WHERE id = :id", {"id": 2}) == [("two",)]
    assert things.rows("SELECT count(*) FROM things") == [(2,)]


def test_every_round_trip_is_counted(things: PostgresDatabase) -> None:
    with meter.tally() as tally:
        with things.write() as work:
            work.execute("INSERT INTO things VALUES (1, 'one')")
            work.executemany("INSERT INTO things VALUES (?, ?)", [(2, "two"), (3, "three")])
        assert tally.trips() == {"documents": 4}
        things.rows("SELECT count(*) FROM things")
    assert tally.trips() == {"documents": 5}


def test_driver_errors_become_errors_of_the_ports(things: PostgresDatabase) -> None:
    with things.write() as work:
        work.execute("INSERT INTO things VALUES (1, 'one')")
    with pytest.raises(Conflict) as taken, things.write() as work:
        work.execute("INSERT INTO things VALUES (2, 'one')")

    assert taken.value.field == "name"
    with pytest.raises(Invalid):
        things.rows("SELECT id FROM things WHERE name = ?", ("\ud800",))
    with pytest.raises(Invalid):
        things.rows("SELECT id FROM things WHERE id = ?", (2**63,))


def test_text_may_have_every_character_and_is_sorted_by_code_points(things: PostgresDatabase) -> None:
    texts = sorted("".join(some) for n in range(4) for some in itertools.product("\0\1\2a\uffff\U0001f600", repeat=n))
    with things.write() as work:
        work.executemany("INSERT INTO things VALUES (?, ?)", list(enumerate(reversed(texts))))

    assert things.rows('SELECT name FROM things ORDER BY name COLLATE "C"') == [(text,) for text in texts]
    assert things.rows("SELECT count(*) FROM things WHERE name = ANY (?)", (texts,)) == [(len(texts),)]
    for mark in texts[::20]:
        lower = sum(text < mark for text in texts)
        assert things.rows('SELECT count(*) FROM things WHERE name < ? COLLATE "C"', (mark,)) == [(lower,)]


def test_a_lost_connection_is_not_used_again(url: str, things: PostgresDatabase) -> None:
    [(mine,)] = things.rows("SELECT pg_backend_pid()")
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("SELECT pg_terminate_backend(%s, 5000)", (mine,))

    [(other,)] = things.rows("SELECT pg_backend_pid()")
    assert other != mine


def test_integers_of_all_sizes_share_one_prepared_statement(things: PostgresDatabase) -> None:
    for number in (1, 40_000, 2**40):
        things.rows("SELECT name FROM things WHERE id = ?", (number,))

    [(prepared,)] = things.rows("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT name%'")
    assert prepared == 1
    assert things.rows("SELECT ? + ?", (30_000, 30_000)) == [(60_000,)]


def test_a_statement_prepared_before_a_change_of_the_table_is_sent_again(url: str, things: PostgresDatabase) -> None:
    with things.write() as work:
        work.execute("INSERT INTO things VALUES (1, 'one')")
    assert things.rows("SELECT * FROM things") == [(1, "one")]
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("ALTER TABLE things ADD COLUMN size int")

    assert things.rows("SELECT * FROM things") == [(1, "one", None)]
