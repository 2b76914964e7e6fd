"""The private directory of one run, and the cleanup after runs that died."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from .kernel import Process, destroy, wait_gone

_PREFIX = "quartet-engines-"
_OWNER = "owner"
_UNFINISHED_SECONDS = 60


class Home:
    """A directory below the temporary directory. A lock marks it as in use while this process lives."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # PostgreSQL runs as another user when we are root, and must reach its own folder inside.
        self.path.chmod(0o711)
        self._lock = _hold(self.path)

    def folder(self, name: str) -> Path:
        """Make a new folder for a server. Earlier servers may have had the same name."""
        folder, number = self.path / name, 1
        while folder.exists():
            number += 1
            folder = self.path / f"{name}-no-{number}"
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def record(path: Path, server: Process) -> None:
    """Record a running server in a file, so that a later run can end it."""
    path.write_text(f"{server.pid} {server.start}", encoding="ascii")


def sweep() -> None:
    """End the servers that dead runs of this user have left, and remove their directories."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_ours(path) and _is_dead(path):
            _end_servers(path)
            shutil.rmtree(path, ignore_errors=True)


def _hold(path: Path) -> int:
    """Create and lock the owner file under another name, then rename it, so that no sweep finds it unlocked."""
    unnamed = path / f"{_OWNER}.new"
    lock = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(path / _OWNER)
    return lock


def _is_ours(path: Path) -> bool:
    """Tell whether the path is a directory of this user: anybody can write to the temporary directory."""
    try:
        return path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.getuid()
    except OSError:
        return False


def _is_dead(path: Path) -> bool:
    try:
        lock = os.open(path / _OWNER, os.O_RDWR)
    except FileNotFoundError:
        return _is_old(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _is_old(path: Path) -> bool:
    """Tell whether a directory without an owner file is too old to be under construction."""
    try:
        return time.time() - path.lstat().st_mtime > _UNFINISHED_SECONDS
    except FileNotFoundError:
        return False


def _end_servers(path: Path) -> None:
    for file in path.glob("*.pid"):
        words = file.read_text(encoding="ascii").split()
        if len(words) == 2:
            server = Process(int(words[0]), int(words[1]))
            wait_gone([server, *(destroy(server) if server.alive() else [])], 10)
