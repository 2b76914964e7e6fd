"""The contract of the relational store, except for its outbox."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Engine, TextClause, update

from repositories.errors import Conflict, Contention, Invalid, NotFound, Stale, StoreError, Unavailable
from repositories.feed_records import Fanout, ReaderState
from repositories.records import Account, Edge, Event, Follow, GraphCounts, Like, Relation
from repositories.relational import RelationalStore, Transaction, migrations
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.migrations.own_tables import is_ours
from repositories.relational.postgres.store import PostgresRelational
from repositories.relational.schema.tables import metadata, outbox
from tests.contracts.relational_store import NOW, account, login, new_database, opened, register

T = TypeVar("T")

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LATER = NOW + SECOND
LARGEST = 2**63 - 1
BEFORE_0027 = TextClause(
    "INSERT INTO outbox (id, type, aggregate, happened_at, payload, due_at, attempts)"
    " VALUES (:id, 't', 'one', :now, '{}', clock_timestamp(), 0)"
)
TEXTS = [
    "",
    "Gr\u00fc\u00dfe",
    "e\u0301 and \u00e9",
    "\U0001f469\u200d\U0001f467",
    "\u0645\u0631\u062d\u0628\u0627 \u202etxet",
    "\u0130i\u0131I",
    "a\tb\nc\r\\N 'quoted' \"doubly\" %s :name \\.",
    "\ufeff\u2028\x01\x7f\uffff",
]
BAD_TEXTS = ["a\0b", "\ud800", "\udfff tail"]
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    NOW,
    datetime.max.replace(tzinfo=UTC),
]


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


def do(store: RelationalStore, work: Callable[[Transaction], T]) -> T:
    with store.transaction() as unit:
        return work(unit)


def together(*works: Callable[[], T]) -> list[T | StoreError]:
    """Run the works at the same moment, each in a thread."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T | StoreError:
        barrier.wait()
        try:
            return work()
        except StoreError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def follow(store: RelationalStore, follower: UUID, followee: UUID, since: datetime = NOW) -> bool:
    return do(store, lambda unit: unit.graph.follow(Follow(follower, followee, since)))


def unfollow(store: RelationalStore, follower: UUID, followee: UUID) -> datetime | None:
    return do(store, lambda unit: unit.graph.unfollow(follower, followee))


def shuffled(ids: list[UUID]) -> list[UUID]:
    """The ids in a different order."""
    return sorted(ids, key=lambda one: one.bytes[::-1])


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
            with _engine(new).begin() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
            with pytest.raises(Unavailable, match=r"does not know: .*9999"):
                new.migrate(dry_run=dry_run)

    def test_two_concurrent_runs(self, fresh_url: Callable[[], str]) -> None:
        url = fresh_url()
        with opened(url) as one, opened(url) as other:
            steps = together(one.migrate, other.migrate)
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
        with _engine(store).connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": is_ours})
            assert compare_metadata(context, metadata) == []

    def test_the_migrations_make_the_indexes_and_checks_of_the_code(
        self, store: RelationalStore, fresh_url: Callable[[], str]
    ) -> None:
        """Compares their conditions too, which Alembic's comparison of tables ignores."""
        with opened(fresh_url()) as new:
            new.migrate()
            downgrade(new, "base")
            with _engine(new).begin() as connection:
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
            with _engine(new).connect() as connection:
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
            assert new.migrate()[0] == "relational: 0004 dead-lettered events"
            assert (new.outbox.dead_letters(limit=9), new.outbox.backlog()) == before

    def test_events_numbered_by_a_sequence_come_first(self, fresh_url: Callable[[], str]) -> None:
        """A server of such a version also keeps working next to new ones: it sets no position."""
        with opened(fresh_url()) as new:
            new.migrate()
            if isinstance(new, EmbeddedRelational):
                return
            old, first, last = (Event(uuid4(), "t", "one", NOW, b"{}") for _ in range(3))
            downgrade(new, "0026")
            with _engine(new).begin() as connection:
                connection.exec_driver_sql("SELECT setval('outbox_position_seq', 7)")
                connection.execute(BEFORE_0027, {"id": old.id, "now": NOW})
            assert new.migrate()[0] == "relational: 0027 positions of the outbox by time, not from a sequence"
            do(new, lambda unit: unit.emit(first))
            with _engine(new).begin() as connection:
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


def _engine(store: RelationalStore) -> Engine:
    assert isinstance(store, EmbeddedRelational | PostgresRelational)
    return store._writing if isinstance(store, EmbeddedRelational) else store._writing.engine


def _definitions(store: RelationalStore) -> list[str]:
    """The definitions of indexes as the engine reports them, ignoring spacing, and PostgreSQL's CHECK constraints."""
    with _engine(store).connect() as connection:
        if connection.dialect.name == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        else:
            query = (
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
                " UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE contype = 'c'"
            )
        return sorted(" ".join(sql.split()) for (sql,) in connection.exec_driver_sql(query))


def downgrade(store: RelationalStore, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with _engine(store).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


class TestTransaction:
    def test_rolls_back_when_the_block_raises(self, store: RelationalStore) -> None:
        one = account()
        before = store.outbox.backlog()

        def fail(unit: Transaction) -> None:
            unit.accounts.add(one, login(one))
            unit.emit(Event(uuid4(), "t", "a", NOW, b"{}"))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.accounts.get([one.id]) == {}
        assert store.outbox.backlog() == before

    def test_is_seen_by_others_only_after_its_commit(self, store: RelationalStore) -> None:
        one = account()
        with store.transaction() as unit:
            unit.accounts.add(one, login(one))
            assert store.accounts.get([one.id]) == {}
        assert store.accounts.get([one.id]) == {one.id: one}

    def test_an_error_that_is_swallowed_still_undoes_all(self, store: RelationalStore) -> None:
        first, second = account(), account()
        do(store, lambda unit: unit.accounts.add(first, login(first)))

        def swallow(unit: Transaction) -> None:
            unit.stock.put(second.id, 1)
            with pytest.raises(Conflict):
                unit.accounts.add(replace(second, handle=first.handle), login(second))
            with pytest.raises(Conflict):
                unit.stock.put(second.id, 2)

        with pytest.raises(Conflict):
            do(store, swallow)
        assert store.stock.available([second.id]) == {second.id: 0}

    def test_goes_on_after_an_error_of_the_port_itself(self, store: RelationalStore) -> None:
        product = uuid4()
        with store.transaction() as unit:
            with pytest.raises(NotFound):
                unit.accounts.set_password(uuid4(), "hash", if_hash="hash")
            unit.stock.put(product, 3)
        assert store.stock.available([product]) == {product: 3}

    def test_events_of_one_aggregate_are_dispatched_in_the_order_of_commit(self, store: RelationalStore) -> None:
        """The transactions lock a common row before they write."""
        ada, bob = register(store, 2)
        first, second = two_of_one_aggregate()

        def lock_and_emit(unit: Transaction, event: Event) -> None:
            unit.graph.lock(ada, bob)
            unit.emit(event)

        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                lock_and_emit(unit, first)
                overtaking = pool.submit(do, store, lambda unit: lock_and_emit(unit, second))
                assert not wait([overtaking], timeout=0.1).done
            overtaking.result()
        assert dispatched(store, first, second) == [first, second]

    def test_an_event_comes_after_waiting_ones_whatever_the_clock_says(self, store: RelationalStore) -> None:
        """The first event gets a position as if the server's clock had been an hour ahead and was set back."""
        first, second = two_of_one_aggregate()
        do(store, lambda unit: unit.emit(first))
        with _engine(store).begin() as connection:
            ahead = outbox.c.position + 3_600_000_000 * 4096
            connection.execute(update(outbox).where(outbox.c.id == first.id).values(position=ahead))
        do(store, lambda unit: unit.emit(second))
        assert dispatched(store, first, second) == [first, second]

    def test_an_event_is_dispatched_once(self, store: RelationalStore) -> None:
        event = Event(uuid4(), "t", uuid4().hex, NOW, b"{}")
        do(store, lambda unit: unit.emit(event))
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.emit(event))
        assert caught.value.field == "id"


def two_of_one_aggregate() -> tuple[Event, Event]:
    first = Event(uuid4(), "t", uuid4().hex, NOW, b"{}")
    return first, replace(first, id=uuid4())


def dispatched(store: RelationalStore, *events: Event) -> list[Event]:
    """Dispatch all waiting events. Returns those among `events`, in the order of dispatch."""
    found: list[Event] = []
    while claims := store.outbox.claim(now=store.now() + SECOND, lease_until=store.now() + HOUR, limit=9):
        found += [claim.event for claim in claims if claim.event in events]
        store.outbox.acknowledge(claims)
    return found


class TestAccounts:
    @pytest.mark.parametrize("text", TEXTS)
    def test_come_back_as_they_were(self, store: RelationalStore, text: str) -> None:
        one = account(display_name=text, bio=text * 20, image_url=text)
        its_login = login(one, password_hash=text)
        do(store, lambda unit: unit.accounts.add(one, its_login))
        assert store.accounts.get([one.id]) == {one.id: one}
        assert store.accounts.login_of(one.id) == its_login

    @pytest.mark.parametrize("at", TIMES)
    def test_keep_the_microsecond(self, store: RelationalStore, at: datetime) -> None:
        one = account(created_at=at)
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        kept = store.accounts.get([one.id])[one.id]
        assert kept == one
        assert kept.created_at.tzinfo is UTC

    def test_a_missing_image_is_not_an_empty_one(self, store: RelationalStore) -> None:
        none, empty = account(image_url=None), account(image_url="")
        for one in (none, empty):
            do(store, lambda unit, one=one: unit.accounts.add(one, login(one)))  # type: ignore[misc]  # default binds
        found = store.accounts.get([none.id, empty.id])
        assert found[none.id].image_url is None
        assert found[empty.id].image_url == ""

    @pytest.mark.parametrize("text", BAD_TEXTS)
    @pytest.mark.parametrize("field", ["handle", "display_name", "bio", "image_url"])
    def test_refuse_bad_text(self, store: RelationalStore, field: str, text: str) -> None:
        one = account(**{field: text})
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.add(one, login(one, email=f"{one.id}@x")))
        good = account()
        do(store, lambda unit: unit.accounts.add(good, login(good)))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.replace(replace(good, **{field: text}), if_version=1))

    @pytest.mark.parametrize("text", BAD_TEXTS)
    def test_refuse_bad_text_in_logins_and_look_ups(self, store: RelationalStore, text: str) -> None:
        one = account()
        for bad in (login(one, email=text), login(one, password_hash=text)):
            with pytest.raises(Invalid):
                do(store, lambda unit, bad=bad: unit.accounts.add(one, bad))  # type: ignore[misc]  # default binds
        for look_up in (store.accounts.by_handle, store.accounts.login):
            with pytest.raises(Invalid):
                look_up(text)
        with pytest.raises(Invalid):
            store.accounts.login(f"{text}@example.org")

    @pytest.mark.parametrize("version", [LARGEST + 1, -LARGEST - 2, 10**30])
    def test_refuse_integers_beyond_64_bits(self, store: RelationalStore, version: int) -> None:
        one = account(version=version)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.add(one, login(one)))
        largest = account(version=LARGEST)
        do(store, lambda unit: unit.accounts.add(largest, login(largest)))
        assert store.accounts.get([largest.id])[largest.id].version == LARGEST

    def test_get_leaves_out_the_unknown(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert set(store.accounts.get([bob, uuid4(), ada, bob])) == {ada, bob}
        assert store.accounts.get([]) == {}
        assert store.accounts.get({uuid4()}) == {}

    def test_get_takes_ten_thousand_ids(self, store: RelationalStore) -> None:
        ids = register(store, 3) + [uuid4() for _ in range(40_000)]
        assert len(store.accounts.get(ids)) == 3
        assert len(store.graph.relations(ids[0], ids)) == len(store.graph.counts(ids)) == len(ids)
        assert set(store.likes.counts(ids).values()) == set(store.stock.available(ids).values()) == {0}

    def test_handles_and_emails_are_found_without_ascii_case(self, store: RelationalStore) -> None:
        one = account(handle=f"AdA_{uuid4().hex[:8]}")
        its_login = login(one, email=f"Ada.{one.handle}@Example.ORG")
        do(store, lambda unit: unit.accounts.add(one, its_login))
        for name in (one.handle, one.handle.lower(), one.handle.upper()):
            assert store.accounts.by_handle(name) == one
            assert store.accounts.login(name) == its_login
        for email in (its_login.email, its_login.email.lower(), its_login.email.upper()):
            assert store.accounts.login(email) == its_login
            assert store.accounts.by_handle(email) is None

    def test_only_ascii_case_is_ignored(self, store: RelationalStore) -> None:
        end = uuid4().hex
        spellings = [
            "\u0130x",
            "ix",
            "\u0131x",
            "\u00c4x",
            "\u00e4x",
            "a\u0308x",
            "stra\u00dfe",
            "strasse",
            "\u212ax",
            "kx",
        ]
        people = [account(handle=spelling + end) for spelling in spellings]
        with store.transaction() as unit:
            for one in people:
                unit.accounts.add(one, login(one))
        assert [store.accounts.by_handle(one.handle) for one in people] == people

    def test_an_unknown_name_finds_no_account(self, store: RelationalStore) -> None:
        assert store.accounts.by_handle(uuid4().hex) is None
        assert store.accounts.login(uuid4().hex) is None
        assert store.accounts.login(f"{uuid4()}@example.org") is None
        assert store.accounts.login_of(uuid4()) is None

    def test_a_taken_value_is_named(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        other = account()
        same_id, same_handle = replace(other, id=one.id), replace(other, handle=one.handle.upper())
        for field, who, its_login in (
            ("id", same_id, login(same_id)),
            ("handle", same_handle, login(other)),
            ("email", other, login(other, email=login(one).email.upper())),
        ):
            with pytest.raises(Conflict) as caught, store.transaction() as unit:
                unit.accounts.add(who, its_login)
            assert caught.value.field == field
        assert store.accounts.get([other.id]) == {}
        assert store.accounts.by_handle(other.handle) is None

    def test_one_of_two_accounts_with_one_handle_wins(self, store: RelationalStore) -> None:
        handle = uuid4().hex
        people = [account(handle=handle) for _ in range(4)]
        ends = together(*(lambda one=one: add(store, one) for one in people))
        assert sum(end is None for end in ends) == 1
        assert all(end is None or (isinstance(end, Conflict) and end.field == "handle") for end in ends)

    def test_replace_stores_all_of_it(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        new = Account(one.id, one.handle.upper(), "New", "bio", "https://x", NOW + SECOND, 2)
        do(store, lambda unit: unit.accounts.replace(new, if_version=1))
        assert store.accounts.get([one.id]) == {one.id: new}
        assert store.accounts.by_handle(one.handle) == new

    def test_replace_frees_the_old_handle(self, store: RelationalStore) -> None:
        one, other = account(), account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        do(store, lambda unit: unit.accounts.replace(replace(one, handle=f"n{one.handle}"), if_version=1))
        do(store, lambda unit: unit.accounts.add(replace(other, handle=one.handle), login(other)))

    def test_replace_refuses(self, store: RelationalStore) -> None:
        one, other = account(), account()
        for who in (one, other):
            do(store, lambda unit, who=who: unit.accounts.add(who, login(who)))  # type: ignore[misc]  # default binds
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.replace(replace(one, version=3), if_version=2))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.replace(account(), if_version=1))
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.accounts.replace(replace(one, handle=other.handle), if_version=1))
        assert caught.value.field == "handle"
        assert store.accounts.get([one.id]) == {one.id: one}

    def test_one_of_two_replacements_is_stale(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))

        def change() -> None:
            with store.transaction() as unit:
                unit.accounts.replace(replace(one, version=2), if_version=1)

        ends = together(*[change] * 4)
        assert sorted(type(end).__name__ for end in ends) == ["NoneType", "Stale", "Stale", "Stale"]

    def test_ids_ascend(self, fresh_url: Callable[[], str]) -> None:
        with opened(fresh_url()) as new:
            new.migrate()
            assert new.accounts.ids(after=None, limit=9) == []
            ids = register(new, 5)
            assert new.accounts.ids(after=None, limit=9) == ids
            assert new.accounts.ids(after=None, limit=2) == ids[:2]
            assert new.accounts.ids(after=ids[1], limit=2) == ids[2:4]
            assert new.accounts.ids(after=UUID(int=ids[1].int + 1), limit=9) == ids[2:]
            assert new.accounts.ids(after=ids[-1], limit=9) == []
            with pytest.raises(Invalid):
                new.accounts.ids(after=None, limit=-1)

    def test_set_password(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        do(store, lambda unit: unit.accounts.set_password(one.id, "other", if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, password_hash="other")
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.set_password(one.id, "third", if_hash="hash"))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.set_password(uuid4(), "other", if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, password_hash="other")

    def test_set_email(self, store: RelationalStore) -> None:
        one, other = account(), account()
        for each in (one, other):
            add(store, each)
        do(store, lambda unit: unit.accounts.verify(one.id, NOW))
        fresh = f"New.{one.id}@Example.org"
        do(store, lambda unit: unit.accounts.set_email(one.id, fresh, if_hash="hash"))
        assert store.accounts.login(fresh.upper()) == login(one, email=fresh, verified_at=None)
        assert store.accounts.login(login(one).email) is None
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.set_email(one.id, "a@example.org", if_hash="another"))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.set_email(uuid4(), "a@example.org", if_hash="hash"))
        with pytest.raises(Conflict) as taken:
            do(store, lambda unit: unit.accounts.set_email(other.id, fresh.lower(), if_hash="hash"))
        assert taken.value.field == "email"
        do(store, lambda unit: unit.accounts.set_email(one.id, fresh.lower(), if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, email=fresh.lower())


def add(store: RelationalStore, one: Account) -> None:
    with store.transaction() as unit:
        unit.accounts.add(one, login(one))


class TestGraph:
    def test_follow_and_unfollow_are_idempotent_and_counted(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert [follow(store, ada, bob), follow(store, ada, bob, NOW + SECOND)] == [True, False]
        assert store.graph.following(ada, before=None, limit=9) == [Edge(bob, NOW)]
        assert store.graph.followers(bob, before=None, limit=9) == [Edge(ada, NOW)]
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(0, 1), bob: GraphCounts(1, 0)}
        ends = [do(store, lambda unit: unit.graph.unfollow(ada, bob)) for _ in range(2)]
        assert ends == [NOW, None]
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(), bob: GraphCounts()}
        assert store.graph.following(ada, before=None, limit=9) == []

    def test_a_follow_is_not_mutual(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        follow(store, bob, ada)
        assert store.graph.followers(bob, before=None, limit=9) == []
        assert do(store, lambda unit: unit.graph.unfollow(ada, bob)) is None

    def test_a_rolled_back_follow_counts_nothing(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def fail(unit: Transaction) -> None:
            unit.graph.follow(Follow(ada, bob, NOW))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.graph.counts([bob]) == {bob: GraphCounts()}

    def test_unknown_accounts_neither_follow_nor_are_followed(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        for pair in ((ada, uuid4()), (uuid4(), ada)):
            with pytest.raises(NotFound):
                follow(store, *pair)
            with pytest.raises(NotFound):
                do(store, lambda unit, pair=pair: unit.graph.lock(*pair))  # type: ignore[misc]  # default binds
        assert store.graph.counts([ada]) == {ada: GraphCounts()}

    def test_lists_are_newest_first_with_ties_by_id_descending(self, store: RelationalStore) -> None:
        ada, *others = register(store, 10)
        since = {other: NOW + MICROSECOND * (number // 3) for number, other in enumerate(others)}
        for other in shuffled(others):
            follow(store, ada, other, since[other])
            follow(store, other, ada, since[other])
        expected = [Edge(one, since[one]) for one in sorted(others, key=lambda one: (since[one], one), reverse=True)]
        for listing in (store.graph.following, store.graph.followers):
            assert listing(ada, before=None, limit=99) == expected
            assert listing(ada, before=None, limit=4) == expected[:4]
            for number, edge in enumerate(expected):
                assert listing(ada, before=edge, limit=3) == expected[number + 1 : number + 4]
            assert listing(ada, before=Edge(UUID(int=0), NOW), limit=3) == []

    def test_paging_sees_each_edge_once_while_others_come_and_go(self, store: RelationalStore) -> None:
        ada, *others = register(store, 12)
        for number, other in enumerate(others[:8]):
            follow(store, other, ada, NOW + SECOND * number)
        seen: list[UUID] = []
        page = store.graph.followers(ada, before=None, limit=2)
        for newcomer in [*others[8:], None]:
            seen += [edge.account_id for edge in page]
            if newcomer:
                follow(store, newcomer, ada, NOW + SECOND * 100)
                unfollow(store, seen[-1], ada)
            page = store.graph.followers(ada, before=page[-1], limit=2) if page else []
        assert seen == list(reversed(others[:8]))

    def test_followees_tell_whether_they_are_filled(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        follow(store, ada, bob)
        follow(store, ada, eve, NOW + SECOND)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, eve, NOW + SECOND))) is True
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, eve, NOW + SECOND))) is True
        assert store.graph.followees(ada) == {bob: False, eve: True}
        assert store.graph.followees(bob) == {}

    def test_filled_needs_the_same_edge(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, bob, NOW))) is False
        follow(store, ada, bob, NOW)
        do(store, lambda unit: unit.graph.unfollow(ada, bob))
        follow(store, ada, bob, NOW + MICROSECOND)
        assert do(store, lambda unit: unit.graph.filled(Follow(ada, bob, NOW))) is False
        assert store.graph.followees(ada) == {bob: False}

    def test_ids_are_ordered_as_numbers(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        ids = [UUID(int=(uuid4().int >> 8) | (top << 120)) for top in (0x00, 0x7F, 0x80, 0xFF)]
        for one in ids:
            add(store, account(id=one, handle=one.hex))
            follow(store, one, ada)
        assert store.fanouts.audience(ada, after=None, limit=9) == ids
        assert [edge.account_id for edge in store.graph.followers(ada, before=None, limit=9)] == ids[::-1]

    def test_a_limit_of_0_is_nothing_and_below_is_invalid(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        follow(store, ada, bob)
        assert store.graph.following(ada, before=None, limit=0) == []
        assert store.outbox.claim(now=NOW, lease_until=NOW, limit=0) == []
        for call in (
            lambda: store.graph.following(ada, before=None, limit=-1),
            lambda: store.outbox.claim(now=NOW, lease_until=NOW, limit=-1),
            lambda: store.outbox.dead_letters(limit=-1),
        ):
            with pytest.raises(Invalid):
                call()

    def test_relations(self, store: RelationalStore) -> None:
        ada, bob, eve, tom = register(store, 4)
        stranger = uuid4()
        with store.transaction() as unit:
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.follow(Follow(bob, ada, NOW))
            unit.graph.follow(Follow(eve, ada, NOW))
            assert unit.graph.block(ada, eve, NOW) is True
            assert unit.graph.block(tom, ada, NOW) is True
        assert store.graph.relations(ada, [bob, eve, tom, stranger, bob]) == {
            bob: Relation(following=True, follows_you=True),
            eve: Relation(follows_you=True, blocking=True),
            tom: Relation(blocked_by=True),
            stranger: Relation(),
        }
        assert store.graph.relations(ada, []) == {}
        assert store.graph.relations(stranger, [ada]) == {ada: Relation()}

    def test_blocks_are_idempotent(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert [do(store, lambda unit: unit.graph.block(ada, bob, NOW)) for _ in range(2)] == [True, False]
        assert store.graph.relations(ada, [bob]) == {bob: Relation(blocking=True)}
        assert [do(store, lambda unit: unit.graph.unblock(ada, bob)) for _ in range(2)] == [True, False]
        assert store.graph.relations(ada, [bob]) == {bob: Relation()}

    def test_blocks_are_listed_newest_first_with_ties_by_id_descending(self, store: RelationalStore) -> None:
        ada, *others = register(store, 8)
        at = {other: NOW + MICROSECOND * (number // 3) for number, other in enumerate(others)}
        with store.transaction() as unit:
            for other in shuffled(others):
                unit.graph.block(ada, other, at[other])
                unit.graph.block(other, others[0] if other != others[0] else ada, at[other])
        expected = [Edge(one, at[one]) for one in sorted(others, key=lambda one: (at[one], one), reverse=True)]
        assert store.graph.blocked(ada, before=None, limit=99) == expected
        for number, edge in enumerate(expected):
            assert store.graph.blocked(ada, before=edge, limit=3) == expected[number + 1 : number + 4]
        do(store, lambda unit: unit.graph.unblock(ada, expected[0].account_id))
        assert store.graph.blocked(ada, before=None, limit=2) == expected[1:3]
        assert store.graph.blocked(uuid4(), before=None, limit=2) == []

    def test_counts_have_an_entry_for_everyone(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        stranger = uuid4()
        assert store.graph.counts([ada, stranger, ada]) == {ada: GraphCounts(), stranger: GraphCounts()}
        assert store.graph.counts([]) == {}

    def test_lock_returns_the_relation(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        with store.transaction() as unit:
            assert unit.graph.lock(ada, bob) == Relation()
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.block(bob, ada, NOW)
            assert unit.graph.lock(ada, bob) == Relation(following=True, blocked_by=True)
            assert unit.graph.lock(bob, ada) == Relation(follows_you=True, blocking=True)
            assert unit.graph.lock(ada, ada) == Relation()

    def test_a_concurrent_block_leaves_no_follow(self, store: RelationalStore) -> None:
        """Follow and block concurrently, each checked under `lock`: there is never both a follow and a block."""

        def try_follow(ada: UUID, bob: UUID) -> None:
            with store.transaction() as unit:
                stand = unit.graph.lock(ada, bob)
                if not (stand.blocking or stand.blocked_by):
                    unit.graph.follow(Follow(ada, bob, NOW))

        def block(ada: UUID, bob: UUID) -> None:
            with store.transaction() as unit:
                unit.graph.lock(bob, ada)
                unit.graph.block(bob, ada, NOW)
                unit.graph.unfollow(ada, bob)

        for turn in range(8):
            ada, bob = register(store, 2)[:: 1 if turn % 2 else -1]
            ends = together(partial(try_follow, ada, bob), partial(block, ada, bob))
            assert ends == [None, None]
            assert store.graph.relations(ada, [bob]) == {bob: Relation(blocked_by=True)}
            assert store.graph.counts([bob]) == {bob: GraphCounts()}

    def test_commands_over_one_pair_never_deadlock(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def churn(one: UUID, other: UUID, *, locked: bool) -> None:
            for _ in range(10):
                with store.transaction() as unit:
                    if locked:
                        unit.graph.lock(other, one)
                    unit.graph.follow(Follow(one, other, NOW))
                with store.transaction() as unit:
                    unit.graph.unfollow(one, other)

        ends = together(
            lambda: churn(ada, bob, locked=True),
            lambda: churn(bob, ada, locked=True),
            lambda: churn(ada, bob, locked=False),
            lambda: churn(bob, ada, locked=False),
        )
        assert ends == [None] * 4
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(), bob: GraphCounts()}


class TestLikes:
    def test_are_idempotent_and_counted(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        likes = [Like(ada, post, NOW), Like(ada, post, NOW + SECOND), Like(bob, post, NOW)]
        assert [do(store, lambda unit, like=like: unit.likes.like(like)) for like in likes] == [True, False, True]  # type: ignore[misc]  # default binds
        assert store.likes.counts([post, other]) == {post: 2, other: 0}
        assert store.likes.liked(ada, [post, other]) == {post}
        assert store.likes.liked(ada, []) == set()
        assert [do(store, lambda unit: unit.likes.unlike(ada, post)) for _ in range(2)] == [NOW, None]
        assert store.likes.counts([post]) == {post: 1}
        assert store.likes.counts([]) == {}
        assert do(store, lambda unit: unit.likes.unlike(ada, uuid4())) is None

    def test_need_an_existing_account(self, store: RelationalStore) -> None:
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.likes.like(Like(uuid4(), uuid4(), NOW)))

    def test_are_read_together_with_follows(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        post, other = uuid4(), uuid4()
        with store.transaction() as unit:
            unit.likes.like(Like(ada, post, NOW))
            unit.likes.like(Like(bob, other, NOW))
            unit.graph.follow(Follow(ada, bob, NOW))
            unit.graph.follow(Follow(eve, ada, NOW))
        assert store.likes.beside_follows(ada, [post, other], [ada, bob, eve]) == ({post}, {bob})
        assert store.likes.beside_follows(eve, [post, other], [ada, bob, eve]) == (set(), {ada})
        assert store.likes.beside_follows(ada, [post], []) == ({post}, set())
        assert store.likes.beside_follows(ada, [], [bob]) == (set(), {bob})
        assert store.likes.beside_follows(ada, [], []) == (set(), set())

    def test_forget_post(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        with store.transaction() as unit:
            for who in (ada, bob):
                unit.likes.like(Like(who, post, NOW))
            unit.likes.like(Like(ada, other, NOW))
        for _ in range(2):
            do(store, lambda unit: unit.likes.forget_post(post))
        assert store.likes.counts([post, other]) == {post: 0, other: 1}
        assert store.likes.liked(ada, [post, other]) == {other}
        assert do(store, lambda unit: unit.likes.unlike(ada, post)) is None
        assert do(store, lambda unit: unit.likes.like(Like(ada, post, NOW))) is True
        assert store.likes.counts([post]) == {post: 1}

    def test_the_count_is_exact_under_concurrency(self, store: RelationalStore) -> None:
        people, post = register(store, 4), uuid4()

        def churn(who: UUID, end: bool) -> None:  # noqa: FBT001  - whether the like stays
            for _ in range(6):
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))
                do(store, lambda unit: unit.likes.unlike(who, post))
            if end:
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))

        works = [lambda who=who, end=end: churn(who, end) for end, who in enumerate(people)]
        assert together(*works, *works[2:]) == [None] * 6
        likers = sum(post in store.likes.liked(who, [post]) for who in people)
        assert store.likes.counts([post]) == {post: likers}

    def test_forgetting_while_others_like_leaves_an_exact_count(self, store: RelationalStore) -> None:
        people, post = register(store, 3), uuid4()

        def churn(who: UUID) -> None:
            for _ in range(6):
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))
                do(store, lambda unit: unit.likes.unlike(who, post))
                do(store, lambda unit: unit.likes.like(Like(who, post, NOW)))

        def forget() -> None:
            for _ in range(12):
                do(store, lambda unit: unit.likes.forget_post(post))

        ends = together(*(lambda who=who: churn(who) for who in people), forget)
        assert ends == [None] * 4
        likers = sum(post in store.likes.liked(who, [post]) for who in people)
        assert store.likes.counts([post]) == {post: likers}


class TestStock:
    def test_put_sets(self, store: RelationalStore) -> None:
        product, other = uuid4(), uuid4()
        for units in (5, 0, LARGEST, 7):
            do(store, lambda unit, units=units: unit.stock.put(product, units))  # type: ignore[misc]  # default binds
            assert store.stock.available([product, other, product]) == {product: units, other: 0}
        assert store.stock.available([]) == {}

    @pytest.mark.parametrize("units", [-1, LARGEST + 1, -LARGEST - 2, 10**30])
    def test_refuses_invalid_numbers_of_units(self, store: RelationalStore, units: int) -> None:
        product = uuid4()
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.put(product, units))
        do(store, lambda unit: unit.stock.put(product, 1))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.stock.put(product, units))
        assert store.stock.available([product]) == {product: 1}


class TestBulk:
    def test_existing_accounts_are_kept_and_new_ones_added(self, store: RelationalStore) -> None:
        known = account()
        add(store, known)
        new = [account(display_name=text, bio=text, image_url=text) for text in TEXTS] + [account()]
        again = replace(known, display_name="other", handle=f"o{known.handle}")
        rows = [(one, login(one)) for one in [again, *new, new[0]]]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.accounts(rows, seen_at=LATER))
        assert store.accounts.get([one.id for one in [known, *new]]) == {one.id: one for one in [known, *new]}
        assert store.accounts.login(new[-1].handle.upper()) == login(new[-1])
        assert store.graph.counts([new[0].id]) == {new[0].id: GraphCounts()}
        assert follow(store, new[0].id, new[1].id) is True
        assert store.feed_activity.reader_state(new[0].id) == ReaderState("awake", 0, LATER, None, (new[1].id,), 1)
        assert store.feed_activity.reader_state(known.id) == ReaderState("awake", 0, NOW, None)

    def test_an_account_with_a_taken_handle_is_a_conflict(self, store: RelationalStore) -> None:
        known, new = account(), account()
        add(store, known)
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.bulk.accounts([(replace(new, handle=known.handle), login(new))], seen_at=NOW))
        assert caught.value.field == "handle"

    def test_follows_are_filled_and_counted_once(self, store: RelationalStore) -> None:
        ada, bob, eve = register(store, 3)
        follow(store, ada, bob)
        rows = [
            Follow(ada, bob, NOW + SECOND),
            Follow(ada, eve, NOW),
            Follow(bob, eve, NOW),
            Follow(ada, eve, NOW + SECOND),
        ]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.follows(rows))
        assert store.graph.followees(ada) == {bob: False, eve: True}
        assert store.graph.following(ada, before=None, limit=9) == [Edge(eve, NOW), Edge(bob, NOW)]
        assert store.graph.counts([ada, bob, eve]) == {
            ada: GraphCounts(0, 2),
            bob: GraphCounts(1, 1),
            eve: GraphCounts(2, 0),
        }

    def test_likes_are_counted_once(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other = uuid4(), uuid4()
        do(store, lambda unit: unit.likes.like(Like(ada, post, NOW)))
        rows = [Like(ada, post, NOW), Like(bob, post, NOW), Like(bob, other, NOW), Like(bob, other, NOW)]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.likes(rows))
        assert store.likes.counts([post, other]) == {post: 2, other: 1}

    def test_likes_of_posts_without_any_are_counted_once(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        post, other, unliked = uuid4(), uuid4(), uuid4()
        do(store, lambda unit: unit.likes.like(Like(ada, unliked, NOW)))
        do(store, lambda unit: unit.likes.unlike(ada, unliked))
        rows = [Like(ada, post, NOW), Like(bob, post, NOW), Like(bob, other, NOW), Like(bob, other, NOW)]
        do(store, lambda unit: unit.bulk.likes(rows))
        assert store.likes.liked(bob, [post, other]) == {post, other}
        for _ in range(2):
            do(store, lambda unit: unit.bulk.likes([*rows, Like(ada, unliked, NOW)]))
        assert store.likes.counts([post, other, unliked]) == {post: 2, other: 1, unliked: 1}

    def test_existing_stock_is_kept(self, store: RelationalStore) -> None:
        product, other = uuid4(), uuid4()
        do(store, lambda unit: unit.stock.put(product, 1))
        do(store, lambda unit: unit.bulk.stock({product: 9, other: 4}))
        assert store.stock.available([product, other]) == {product: 1, other: 4}

    def test_refuses_invalid_rows_and_unknown_accounts(self, store: RelationalStore) -> None:
        (ada,) = register(store)
        for text in BAD_TEXTS:
            one = account(bio=text)
            with pytest.raises(Invalid):
                do(store, lambda unit, one=one: unit.bulk.accounts([(one, login(one))], seen_at=NOW))  # type: ignore[misc]  # default binds
        for units in (-1, LARGEST + 1):
            with pytest.raises(Invalid):
                do(store, lambda unit, units=units: unit.bulk.stock({uuid4(): units}))  # type: ignore[misc]  # default binds
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.bulk.follows([Follow(ada, uuid4(), NOW)]))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.bulk.likes([Like(uuid4(), uuid4(), NOW)]))
        assert store.graph.counts([ada]) == {ada: GraphCounts()}

    def test_empty_lists_change_nothing(self, store: RelationalStore) -> None:
        with store.transaction() as unit:
            unit.bulk.accounts([], seen_at=NOW)
            unit.bulk.follows([])
            unit.bulk.likes([])
            unit.bulk.stock({})

    def test_is_part_of_the_transaction(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)

        def fail(unit: Transaction) -> None:
            unit.bulk.follows([Follow(ada, bob, NOW)])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        with store.transaction() as unit:
            unit.graph.follow(Follow(bob, ada, NOW))
            unit.bulk.follows([Follow(ada, bob, NOW), Follow(bob, ada, NOW)])
        assert store.graph.counts([ada, bob]) == {ada: GraphCounts(1, 1), bob: GraphCounts(1, 1)}

    def test_more_rows_than_go_into_one_statement(self, store: RelationalStore) -> None:
        ids = register(store, 120)
        rows = [Follow(one, other, NOW) for one in ids for other in ids if one != other]
        do(store, lambda unit: unit.bulk.follows(rows))
        assert set(store.graph.counts(ids).values()) == {GraphCounts(119, 119)}

    def test_beside_single_follows_the_counts_stay_exact(self, store: RelationalStore) -> None:
        ids = register(store, 8)
        rows = [Follow(one, other, NOW) for one in ids for other in ids if one != other]

        def load() -> None:
            with store.transaction() as unit:
                unit.bulk.follows(rows)

        def singly() -> None:
            for row in reversed(rows):
                do(store, lambda unit, row=row: unit.graph.follow(row))  # type: ignore[misc]  # default binds

        ends = together(load, singly, load)
        assert all(end is None or isinstance(end, Contention) for end in ends)
        for one in ids:
            listed = len(store.graph.following(one, before=None, limit=99))
            assert store.graph.counts([one])[one].following == listed
