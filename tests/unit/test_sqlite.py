"""The file under the twins."""

import threading
from pathlib import Path

from repositories.sqlite import SqliteFile


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_that_ended_leave_no_connections_behind(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "q.db", "test")
    file.ping()
    before = open_files()
    for _ in range(50):
        thread = threading.Thread(target=file.ping)
        thread.start()
        thread.join()
    assert open_files() < before + 10
    file.close()
