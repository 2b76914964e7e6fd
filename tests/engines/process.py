"""One server as a child process: start, readiness, stop, crash, freeze, restart."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .guard import guarded
from .home import record
from .kernel import Process, descendants, destroy, freeze, process, wait_gone, wait_until

# The kernel kills a server when the thread that started it ends. So one thread, which lives as long as this process,
# starts all servers.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engines")
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TZ")


class EngineMissing(Exception):
    """An engine is not installed here."""

    def __init__(self, engine: str, install: str) -> None:
        super().__init__(engine, install)

    def __str__(self) -> str:
        engine, install = self.args
        return f"{engine} is missing: install {install}"


class EngineFailed(Exception):
    """An engine is installed but did not start."""


class Server:
    """A server with a port and a directory. Not thread-safe."""

    def __init__(
        self,
        url: str,
        command: list[str],
        folder: Path,
        ready: Callable[[], bool],
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
        patience: float = 60,
    ) -> None:
        self.url = url
        self.folder = folder
        self._command = guarded(command, death=death_signal, user=user)
        self._ready = ready
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        self._environment |= {"HOME": str(folder), "LC_ALL": "C", **(environment or {})}
        self._patience = patience
        self._popen: subprocess.Popen[bytes] | None = None
        self._self = Process(0, 0)
        self._paused = False
        self.discarded = False

    @property
    def pid(self) -> int:
        """The id of the server's root process, also after it has ended."""
        return self._self.pid

    @property
    def running(self) -> bool:
        """Tell whether the server's root process runs, frozen or not."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def paused(self) -> bool:
        """Tell whether it is frozen."""
        return self.running and self._paused

    @property
    def log(self) -> Path:
        """The file with the server's output."""
        return self.folder.with_suffix(".log")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._popen = _STARTER.submit(self._spawn).result()
        found = process(self._popen.pid)
        if found is not None:
            self._self = found
            record(self.folder.with_suffix(".pid"), found)
        self._paused = False
        if not wait_until(lambda: self._ready() or not self.running, self._patience) or not self.running:
            self.kill()
            raise EngineFailed(f"{self.folder.name} did not start:\n{self._end_of_log()}")

    def stop(self, seconds: float = 10) -> None:
        """Shut it down in an orderly way, or kill it after `seconds`."""
        self._end(self._stop_signal, seconds)

    def discard(self, seconds: float = 5) -> None:
        """End it at once, since its data will be removed. `Engines` starts another one when it is needed again."""
        self.discarded = True
        self._end(self._death_signal, seconds)

    def kill(self) -> None:
        """Crash it: send SIGKILL to the process and all its descendants, and wait until none is left."""
        if self._popen is None:
            return
        family = destroy(self._self) if self.running else []
        self._popen.wait()
        if not wait_gone(family, 10):
            raise EngineFailed(f"children of {self.folder.name} survived SIGKILL")

    def restart(self) -> None:
        """Start it again with the same port and directory. If it still runs, it is stopped first."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it with all its descendants: connections stay open, but nothing answers."""
        freeze(self._self)
        self._paused = True

    def resume(self) -> None:
        """Resume a frozen server."""
        if self.running:
            for member in (*descendants(self.pid), self._self):
                member.send(signal.SIGCONT)
        self._paused = False

    def _end(self, number: signal.Signals, seconds: float) -> None:
        if self._popen is None:
            return
        family = descendants(self.pid) if self.running else []
        self.resume()
        self._self.send(number)
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        wait_gone(family, seconds)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
            )

    def _end_of_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
