"""The contract of the relational store: migrations."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import TextClause

from repositories.errors import StoreError, Unavailable
from repositories.records.events import Event
from repositories.records.feeds import Fanout, ReaderState
from repositories.relational import RelationalStore
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.migrations.own_tables import is_ours
from repositories.relational.schema.tables import metadata
from tests.contracts.relational_store import NOW, follow, new_database, opened, register
from tests.contracts.transactions import SECOND, dispatched, do, downgrade, engine_of, together

LATER = NOW + SECOND


BEFORE_0027 = TextClause(
    "INSERT INTO outbox (id, type, aggregate, happened_at, payload, due_at, attempts)"
    " VALUES (:id, 't', 'one', :now, '{}', clock_timestamp(), 0)"
)


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def fresh_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """A function that returns the URL of a new, unused store."""
    if request.param == "postgres":
        return lambda: new_database(request.getfixturevalue("engines").postgres())
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('relational') / 'deep' / 'quartet.db'}"


@pytest.fixture(scope="module")
def url(fresh_url: Callable[[], str]) -> str:
    return fresh_url()


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[RelationalStore]:
    with opened(url) as store:
        store.migrate()
        yield store


class TestMigrate:
    def test_a_second_run_does_nothing(self, fresh_url: Callable[[], str]) -> None:
        with opened(fresh_url()) as new:
            planned = new.migrate(dry_run=True)
            assert planned
            assert new.migrate(dry_run=True) == planned
            with pytest.raises(StoreError):
                new.accounts.by_handle("ada")
            assert new.migrate() == planned
            assert new.migrate() == []
            assert new.migrate(dry_run=True) == []
            assert new.accounts.by_handle("ada") is None

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_a_schema_of_a_newer_version_is_refused(self, fresh_url: Callable[[], str], *, dry_run: bool) -> None:
        with opened(fresh_url()) as new:
            new.migrate()
            with engine_of(new).begin() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
            with pytest.raises(Unavailable, match=r"does not know: .*9999"):
                new.migrate(dry_run=dry_run)

    def test_two_concurrent_runs(self, fresh_url: Callable[[], str]) -> None:
        url = fresh_url()
        with opened(url) as one, opened(url) as other:
            steps = together([one.migrate, other.migrate])
            planned = one.migrate(dry_run=True)
        assert planned == []
        assert sorted(bool(taken) for taken in steps if isinstance(taken, list)) == [False, True]

    def test_reopening_keeps_everything(self, store: RelationalStore, url: str) -> None:
        (ada,) = register(store)
        with opened(url) as again:
            assert again.accounts.get([ada]) == store.accounts.get([ada])

    @pytest.mark.usefixtures("store")
    def test_a_closed_store_may_be_closed_again(self, url: str) -> None:
        with opened(url) as again:
            again.ping()
            again.close()

    def test_the_migrations_make_the_tables_of_the_code(self, store: RelationalStore) -> None:
        with engine_of(store).connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": is_ours})
            assert compare_metadata(context, metadata) == []

    def test_the_migrations_make_the_indexes_and_checks_of_the_code(
        self, store: RelationalStore, fresh_url: Callable[[], str]
    ) -> None:
        """Compares their conditions too, which Alembic's comparison of tables ignores."""
        with opened(fresh_url()) as new:
            new.migrate()
            downgrade(new, "base")
            with engine_of(new).begin() as connection:
                metadata.create_all(connection)
            assert _definitions(new) == _definitions(store)

    def test_accounts_from_before_readers_existed_start_dormant(self, fresh_url: Callable[[], str]) -> None:
        with opened(fresh_url()) as new:
            new.migrate()
            people = register(new, 3)
            follow(new, people[0], people[1])
            downgrade(new, "0002")
            assert new.migrate(dry_run=True)[0].startswith("relational: 0003 ")
            assert new.migrate() != []
            assert new.feed_activity.reader_state(people[0]) == ReaderState("dormant", 0, NOW, None, (people[1],))
            assert [new.feed_activity.reader_state(one).state for one in people] == ["dormant"] * 3
            assert do(new, lambda unit: unit.feed_activity.wake(people[0], LATER)) is True
            (later,) = register(new)
            assert new.feed_activity.reader_state(later).state == "awake"

    def test_values_under_the_former_names_are_kept(self, fresh_url: Callable[[], str]) -> None:
        with opened(fresh_url()) as new:
            new.migrate()
            people = register(new, 2)
            do(new, lambda unit: unit.feed_activity.rebuild(people[0], LATER))
            do(new, lambda unit: unit.feed_activity.raise_low_watermark(people[0], people[1]))
            fanout = Fanout(uuid4(), people[1], NOW, NOW, "done", "all", None, 3, 3, ((7, 3),), LATER, "trace")
            do(new, lambda unit: unit.fanouts.save(fanout))
            before = [new.feed_activity.reader_state(one) for one in people]
            downgrade(new, "0004")
            with engine_of(new).connect() as connection:
                rows = connection.exec_driver_sql("SELECT turn, floor IS NULL FROM readers ORDER BY turn").all()
                assert [tuple(row) for row in rows] == [(0, True), (2, False)]
                assert connection.exec_driver_sql("SELECT lags FROM fanouts").scalar_one() == "[[7, 3]]"
            assert new.migrate() != []
            assert [new.feed_activity.reader_state(one) for one in people] == before
            assert new.fanouts.progress(fanout.post_id) == fanout

    def test_dead_letters_of_the_earlier_version_are_kept(self, fresh_url: Callable[[], str]) -> None:
        with opened(fresh_url()) as new:
            new.migrate()
            for _ in range(2):
                do(new, lambda unit: unit.emit(Event(uuid4(), "t", str(uuid4()), NOW, b"{}")))
            claim, _ = new.outbox.claim(now=LATER, lease_until=LATER, limit=2)
            new.outbox.dead_letter(claim, reason="broken", attempts=3, now=NOW)
            before = (new.outbox.dead_letters(limit=9), new.outbox.backlog())
            assert len(before[0]) == 1
            downgrade(new, "0003")
            assert new.migrate()[0] == "relational: 0004 rename the column and index of dead-lettered events"
            assert (new.outbox.dead_letters(limit=9), new.outbox.backlog()) == before

    def test_events_numbered_by_a_sequence_come_first(self, fresh_url: Callable[[], str]) -> None:
        """A server of such a version also keeps working next to new ones: it sets no position."""
        with opened(fresh_url()) as new:
            new.migrate()
            if isinstance(new, EmbeddedRelational):
                return
            old, first, last = (Event(uuid4(), "t", "one", NOW, b"{}") for _ in range(3))
            downgrade(new, "0026")
            with engine_of(new).begin() as connection:
                connection.exec_driver_sql("SELECT setval('outbox_position_seq', 7)")
                connection.execute(BEFORE_0027, {"id": old.id, "now": NOW})
            assert new.migrate()[0] == "relational: 0027 number the outbox by time instead of a sequence"
            do(new, lambda unit: unit.emit(first))
            with engine_of(new).begin() as connection:
                connection.execute(BEFORE_0027, {"id": last.id, "now": NOW})
            assert dispatched(new, old, first, last) == [old, first, last]
            downgrade(new, "0026")
            assert new.migrate() != []

    def test_the_file_may_be_shared(self, tmp_path: Path) -> None:
        """The embedded adapters of other roles have their tables in the same file."""
        with contextlib.closing(sqlite3.connect(tmp_path / "q.db")) as other:
            other.execute("CREATE TABLE documents_posts (id BLOB)")
        with opened(f"sqlite:///{tmp_path / 'q.db'}") as new:
            assert isinstance(new, EmbeddedRelational)
            assert new.migrate() != []
            assert new.migrate() == []
            with new._writing.connect() as connection:
                context = MigrationContext.configure(connection, opts={"include_name": is_ours})
                assert compare_metadata(context, metadata) == []
                connection.exec_driver_sql("INSERT INTO documents_posts VALUES (x'00')")


def _definitions(store: RelationalStore) -> list[str]:
    """The definitions of indexes as the engine reports them, ignoring spacing, and PostgreSQL's CHECK constraints."""
    with engine_of(store).connect() as connection:
        if connection.dialect.name == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        else:
            query = (
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
                " UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE contype = 'c'"
            )
        return sorted(" ".join(sql.split()) for (sql,) in connection.exec_driver_sql(query))
