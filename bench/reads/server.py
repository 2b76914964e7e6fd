"""The server under measurement: a child process with the options of `quartet serve`."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.engines.guard import guarded
from tests.engines.kernel import descendants, free_port, wait_until

PATIENCE = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, probe: str) -> None:
        self._process = process
        self._probe = probe
        self.address = f"http://127.0.0.1:{port}"
        self.port = port

    @property
    def pid(self) -> int:
        return self._process.pid

    def get(self, path: str) -> tuple[bytes, Mapping[str, str]]:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=PATIENCE) as answer:  # noqa: S310  our own address
            return answer.read(), {name.lower(): value for name, value in answer.headers.items()}

    def busy(self) -> float:
        """The CPU seconds of all its processes so far, in the kernel's resolution of a hundredth."""
        family = [self._process.pid, *(child.pid for child in descendants(self._process.pid))]
        return sum(map(_ticks, family)) / TICKS

    def serves(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("the server has ended; see its log")
        try:
            self.get(self._probe)
        except OSError:
            return False
        return True


def _ticks(process: int) -> int:
    """User and system time in clock ticks; 0 for a process that has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(fields[11]) + int(fields[12])


@contextmanager
def served(
    settings: Mapping[str, str], folder: Path, target: str = "bench.reads.wsgi:app", probe: str = "/bare/post"
) -> Iterator[Server]:
    """Run a server of `target` with these `QUARTET_*` settings. It logs into the folder."""
    port = free_port()
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own |= {"BENCH_BODIES": str(folder / "bodies"), "QUARTET_PORT": str(port), "QUARTET_LOG_FORMAT": "json", **settings}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            guarded([sys.executable, "-m", "bench.reads.server", target], death=signal.SIGTERM),
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        server = Server(process, port, probe)
        assert wait_until(server.serves, PATIENCE), (folder / "server.log").read_text(encoding="utf-8")
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def main() -> None:
    """Serve. Runs in the child process."""
    from app.server.granian import server
    from app.telemetry import multiprocess
    from config import Settings

    settings = Settings.from_env()
    served = server(
        sys.argv[1],
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        threads=settings.threads,
        streams=settings.streams,
    )
    with multiprocess.shared():
        served.serve()


if __name__ == "__main__":
    main()
