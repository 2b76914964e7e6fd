"""Problems of PostgreSQL: in one database, and on a separate server."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from app.doctor.advice.rule import Advice, Rule, rules
from app.worker.sampling import Sampling
from config import Settings
from repositories.observer_port import observe
from repositories.observers import open_observer
from tests.apps import ROLES, System, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Engines, Shared, postgres
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.advice.asking import advised, create_every_kind, looked, named, without_waiting
from tests.system.real import on_postgres

# Kinds of subjects in one database, as opposed to the server that all tests share.
KINDS = {"missing index", "index", "table"}


def of_the_database() -> list[Rule]:
    return [rule for rule in rules() if rule.engine == "PostgreSQL" and rule.kind in KINDS]


@pytest.fixture(scope="module")
def system(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path_factory.mktemp("advice")) | on_postgres(engines, ROLES))) as found:
        yield found


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


def test_a_healthy_database_gets_no_advice(system: System) -> None:
    create_every_kind(system)
    assert named(advised(system.container, by=of_the_database())) == set()
    seen, _ = looked(system.container)
    assert [note.partition(" ")[0] for note in seen[0].notes] == ["pg_stat_statements"]
    kinds = {subject.kind for subject in seen[0].subjects}
    assert kinds >= {"server", "table", "index", "role", "level"}
    # Sessions are excluded: they belong to all tests, and one that blocks nobody has no duration. Tables lack these
    # figures if nothing is held back, or if they were not analyzed.
    unknown = {"held_seconds", "held_transactions", "empty_share", "empty_bytes"}
    for rule in (rule for rule in rules() if rule.engine == "PostgreSQL" and rule.kind != "session"):
        for subject in (one for one in seen[0].subjects if one.kind == rule.kind):
            known = {*subject.figures, *subject.words, "name"} | unknown
            assert {bound.figure for bound in rule.bounds} <= known, rule.name


def test_missing_privileges_are_reported_in_a_note(system: System) -> None:
    url = system.container.settings.relational_url
    with connect(url) as connection:
        connection.execute("DROP ROLE IF EXISTS plain_doctor")
        connection.execute("CREATE ROLE plain_doctor LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain_doctor")
    with closing(open_observer(url.replace("quartet@", "plain_doctor@"), ["relational"])) as observer:
        notes = observe(observer).notes
    assert any("GRANT pg_monitor TO plain_doctor" in note for note in notes)
    with connect(url) as connection:
        connection.execute("DROP OWNED BY plain_doctor")
        connection.execute("DROP ROLE plain_doctor")


def test_faulty_tables_and_indexes_are_found_and_the_commands_repair_them(system: System) -> None:
    url = system.container.settings.relational_url
    with connect(url) as connection:
        connection.execute("CREATE TABLE imported AS SELECT n, md5(n::text) AS t FROM generate_series(1, 12000) AS n")
        connection.execute("ALTER TABLE imported SET (autovacuum_enabled = false)")
        connection.execute("CREATE INDEX imported_n ON imported (n)")
        connection.execute("CREATE INDEX imported_n_again ON imported (n)")
        connection.execute("DROP INDEX follows_followers")
        # A manual copy of a table, with an index of the same name.
        connection.execute("CREATE SCHEMA saved")
        connection.execute("CREATE TABLE saved.follows AS SELECT * FROM follows")
        connection.execute("CREATE INDEX follows_followers ON saved.follows (followee)")
        for _ in range(12):
            connection.execute("SELECT count(*) FROM imported WHERE t = 'x'")
        connection.execute("DELETE FROM imported WHERE t < '5'")
        connection.execute("SELECT pg_stat_force_next_flush()")
        assert "index-unused" not in {one.rule for one in advised(system.container, by=of_the_database())}
        found = advised(system.container, by=without_waiting(of_the_database()))
        assert named(found) == {
            ("index-missing", "follows_followers"),
            ("table-read-whole", "imported"),
            ("index-unused", "imported_n"),
            ("index-unused", "imported_n_again"),
            ("index-repeated", "imported_n"),
            ("index-repeated", "imported_n_again"),
            ("rows-dead-for-good", "imported"),
            ("autovacuum-off-for-table", "imported"),
            ("statistics-old", "imported"),
        }
        commands = {(one.rule, one.about): one.command for one in found}
        for command in (
            commands["index-missing", "follows_followers"],
            commands["index-unused", "imported_n"],
            *commands["autovacuum-off-for-table", "imported"].split("; "),
            commands["rows-dead-for-good", "imported"],
        ):
            connection.execute(command.encode())
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert named(advised(system.container, by=without_waiting(of_the_database()))) == {
        ("table-read-whole", "imported"),
        ("index-unused", "imported_n_again"),
    }


def test_a_table_scanned_until_it_got_an_index_is_not_shown_after_a_day(system: System) -> None:
    settings = system.container.settings
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    by = [rule for rule in rules() if rule.name == "table-read-whole"]

    def is_shown() -> bool:
        return "healed" in {one.about for one in advised(system.container, by=by)}

    with connect(settings.relational_url) as connection:
        connection.execute("CREATE TABLE healed AS SELECT n FROM generate_series(1, 12000) AS n")
        connection.execute("ANALYZE healed")

        def read_whole() -> None:
            for _ in range(25):
                connection.execute("SELECT count(*) FROM healed WHERE n = 0")
            connection.execute("SELECT pg_stat_force_next_flush()")

        read_whole()
        assert is_shown()
        Sampling(system.container.stores.relational, system.container.urls, lambda: midnight).tick()
        assert not is_shown()
        read_whole()
        assert is_shown()
        connection.execute("DROP TABLE healed")


def test_a_prepared_transaction_holds_back_dead_rows_and_leaves_a_large_file(system: System) -> None:
    # Rules without waiting times, and for smaller files.
    sooner = {
        "transaction-prepared": ["seconds >= 0"],
        "rows-held-back": ["dead_rows >= 10_000", "dead_share >= 0.2", "held_seconds >= 0"],
        "table-mostly-empty": ["empty_share >= 0.5", "empty_bytes >= 1_000_000"],
    }
    chosen = [replace(rule, when=sooner[rule.name]) for rule in rules() if rule.name in sooner]
    # Other tables belong to other tests.
    mine = ("forgotten", "emptied")

    def found() -> dict[str, Advice]:
        return {one.rule: one for one in advised(system.container, by=chosen) if one.about in mine}

    with connect(system.container.settings.relational_url) as connection:
        connection.execute(
            "CREATE TABLE emptied AS SELECT n, repeat('x', 100) AS t FROM generate_series(1, 20000) AS n"
        )
        connection.execute("BEGIN; SELECT count(*) FROM emptied; PREPARE TRANSACTION 'forgotten'")
        try:
            connection.execute("DELETE FROM emptied WHERE n % 10 <> 0")
            connection.execute("VACUUM (ANALYZE) emptied")
            connection.execute("SELECT pg_stat_force_next_flush()")
            held = found()
            assert held.keys() == {"transaction-prepared", "rows-held-back"}
            assert held["rows-held-back"].words.startswith("18,000 of the rows of emptied are dead")
            assert "prepared transaction forgotten has kept" in held["rows-held-back"].words
            assert held["transaction-prepared"].figures["locks"] == 1
        finally:
            connection.execute("ROLLBACK PREPARED 'forgotten'")
        connection.execute("VACUUM (ANALYZE) emptied")
        connection.execute("SELECT pg_stat_force_next_flush()")
        empty = found()
        assert empty.keys() == {"table-mostly-empty"}
        connection.execute(empty["table-mostly-empty"].command.partition(";")[0].encode())
        connection.execute("SELECT pg_stat_force_next_flush()")
        assert found() == {}


@pytest.mark.proof
def test_missing_autovacuum_and_few_free_connections_are_found(own_engines: Engines, tmp_path: Path) -> None:
    server = own_engines.postgres()
    urls = embedded(tmp_path) | {"relational_url": migrated_database(server)}
    with running(Settings(**urls)) as system, connect(server.url) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        assert wait_until(lambda: connection.execute("SHOW autovacuum").fetchone() == ("off",), 30)
        many = [connect(server.url) for _ in range(165)]
        holder, waiter = psycopg.connect(server.url), connect(server.url)
        holder.execute("CREATE TABLE held (n int)")
        holder.commit()
        holder.execute("LOCK TABLE held")
        thread = threading.Thread(target=lambda: waiter.execute("SELECT * FROM held"))
        thread.start()
        try:
            expected = {("autovacuum-off", "server"), ("connections-used-up", "server")}
            pid = str(holder.info.backend_pid)
            expected |= {("session-blocks", pid)}
            assert wait_until(lambda: expected <= named(advised(system.container)), 30)
            blocks = next(one for one in advised(system.container) if one.rule == "session-blocks")
            connection.execute(blocks.command.split("; ")[1].replace("cancel", "terminate").encode())
        finally:
            thread.join(30)
            for one in (*many, waiter, holder):
                one.close()
            connection.execute("ALTER SYSTEM RESET autovacuum")
            connection.execute("SELECT pg_reload_conf()")
        assert wait_until(lambda: not advised(system.container), 30)


@pytest.mark.proof
def test_a_standby_and_a_slot_that_hold_rows_back_are_found(tmp_path: Path) -> None:
    sooner = {
        "slot-holds-rows": ["active == 0", "held_transactions >= 1"],
        "standby-holds-rows": ["held_transactions >= 1"],
    }
    chosen = [replace(rule, when=sooner[rule.name]) for rule in rules() if rule.name in sooner]
    with closing(Home()) as home, ExitStack() as stack:
        server = postgres.launch(home)
        stack.callback(server.discard)
        standby = postgres.launch_standby(home, server)
        stack.callback(standby.discard)
        url = {"relational_url": migrated_database(server)}
        system = stack.enter_context(running(Settings(**embedded(tmp_path) | url)))
        reader = connect(standby.url)
        stack.callback(reader.close)
        with connect(server.url) as connection:
            connection.execute("CREATE TABLE written (n int)")
            connection.execute("SELECT pg_create_physical_replication_slot('reports')")
            reader.execute("ALTER SYSTEM SET primary_slot_name = 'reports'")
            reader.execute("ALTER SYSTEM SET hot_standby_feedback = on")
            reader.execute("ALTER SYSTEM SET wal_receiver_status_interval = '1s'")
            reader.execute("SELECT pg_reload_conf()")
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT 1")

            def found() -> list[Advice]:
                connection.execute("INSERT INTO written VALUES (1)")
                return advised(system.container, by=chosen)

            assert wait_until(lambda: "standby-holds-rows" in {one.rule for one in found()}, 60)
            standby.stop()
            assert wait_until(lambda: named(found()) == {("slot-holds-rows", "reports")}, 30)
            connection.execute(found()[0].command.partition(";")[0].encode())
            assert found() == []
