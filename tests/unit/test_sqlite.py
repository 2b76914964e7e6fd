"""The SQLite file of the embedded adapters."""

import threading
from pathlib import Path

from app.clock import utc_now
from app.container import build
from config import Settings
from repositories.deadline import within
from repositories.relational.embedded.engine import writing_engine
from repositories.sqlite.database import SqliteDatabase
from tests.apps import ROLES, embedded


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_that_ended_leave_no_connections_behind(tmp_path: Path) -> None:
    file = SqliteDatabase(tmp_path / "q.db", "test")
    file.ping()
    before = open_files()
    for _ in range(50):
        thread = threading.Thread(target=file.ping)
        thread.start()
        thread.join()
    assert open_files() < before + 10
    file.close()


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_a_new_database_is_private_whichever_role_creates_it(tmp_path: Path) -> None:
    for role in ROLES:
        folder = tmp_path / role
        urls = embedded(tmp_path / "others") | {f"{role}_url": f"sqlite:///{folder}/quartet.db"}
        container = build(Settings(**urls))
        container.stores.migrate()
        assert mode(folder) == "700"
        made = {found.name: mode(found) for found in folder.iterdir()}
        assert made == dict.fromkeys(("quartet.db", "quartet.db-wal", "quartet.db-shm"), "600"), role
        container.close()


def test_the_mode_of_an_existing_database_stays(tmp_path: Path) -> None:
    (tmp_path / "quartet.db").touch(0o640)
    tmp_path.chmod(0o750)
    container = build(Settings(**embedded(tmp_path)))
    container.stores.migrate()
    assert (mode(tmp_path), mode(tmp_path / "quartet.db")) == ("750", "640")
    container.close()


def test_a_writer_waits_for_another_until_its_deadline(tmp_path: Path) -> None:
    """Checked by a connection's `busy_timeout`, in milliseconds. Without a deadline it is five seconds."""
    asking = "PRAGMA busy_timeout"
    file, engine = SqliteDatabase(tmp_path / "q.db", "test"), writing_engine(tmp_path / "r.db", utc_now)
    with within(0.72):
        with file.write() as work:
            [(in_transaction,)] = work.execute(asking)
        file.change("CREATE TABLE IF NOT EXISTS t (a)")
        [(of_one_statement,)] = file.rows(asking)
        with engine.begin() as connection:
            in_the_relational_one = connection.exec_driver_sql(asking).scalar_one()
    assert {in_transaction, of_one_statement, in_the_relational_one} <= set(range(50, 751, 50))
    with file.write() as work, engine.begin() as connection:
        assert [*work.execute(asking)] == [(5000,)]
        assert connection.exec_driver_sql(asking).scalar_one() == 5000
    engine.dispose()
    file.close()
