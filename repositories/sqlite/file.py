"""An SQLite file: its path from a URL, creating it, opening it, and waiting for its one writer."""

import contextlib
import math
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from repositories.address import BadAddress, address_of
from repositories.deadline import at_most
from repositories.meter import waited

BUSY_SECONDS = 5.0
# A wait for another writer is a multiple of this: each value is another pragma statement, and many of them would
# displace the prepared statements of the connection.
BUSY_STEP_MS = 50
# A transaction that took this long to begin has waited for another writer; otherwise it takes microseconds.
WAITED_SECONDS = 0.025
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8000")


def path_of(url: str) -> Path:
    """`sqlite:///var/q.db` is relative to the working directory, `sqlite:////var/q.db` is absolute.

    Raises `BadAddress` if it is not a plain file: several processes and threads share it, so it must have a name.
    """
    address = address_of(url)
    if address.hosts or address.user:
        raise BadAddress("a file's URL has three slashes, or four before an absolute path")
    if not address.path or address.path.endswith("/") or Path(address.path).is_dir():
        raise BadAddress("the name of a file is missing")
    if address.path.startswith((":", "file:")):
        raise BadAddress("a database in memory or behind a URI of SQLite's own cannot be shared; name a file")
    return Path(address.path)


def make_private(path: Path) -> None:
    """Create a file for its owner only (mode 0600); SQLite gives `-wal` and `-shm` the same. An existing one is left.

    If it cannot be created, SQLite's own error will say why.
    """
    if not path.exists():
        with contextlib.suppress(OSError):
            path.touch(0o600)


def make_folder(path: Path) -> None:
    """Make the folder of a file, accessible to its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def set_up(connection: sqlite3.Connection) -> None:
    """Apply the pragmas. Switching a new file to WAL fails at once while others open it, so it is retried here."""
    deadline = time.monotonic() + at_most(BUSY_SECONDS)
    while True:
        try:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def bound_wait(connection: sqlite3.Connection) -> None:
    """Let the next statement wait for another writer until the current deadline, for `BUSY_SECONDS` at most."""
    steps = math.ceil(at_most(BUSY_SECONDS) * 1000 / BUSY_STEP_MS)
    connection.execute(f"PRAGMA busy_timeout = {max(steps, 1) * BUSY_STEP_MS}")


@contextlib.contextmanager
def awaiting_the_writer(connection: sqlite3.Connection, role: str) -> Iterator[None]:
    """Surrounds the beginning of a write transaction, and reports its wait like that for a pooled connection."""
    bound_wait(connection)
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        if seconds >= WAITED_SECONDS:
            waited(role, seconds)
