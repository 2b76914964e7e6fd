"""Servers under measurement: builds of Quartet with separate stores, and plain applications on the same server."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.signed_in.town import Plan
from tests.engines.guard import guarded
from tests.engines.kernel import free_port, wait_until

HERE = Path(__file__).parents[2]
PATIENCE = 60.0
RELAY = "from app.cli import main; main()"


class Served(Struct, frozen=True):
    """`pids` are its root processes, by their group in the table."""

    address: str
    pids: Mapping[str, int]


class Build:
    """A checkout of Quartet. It runs its own code, except for the package `bench`, which is the one of this tree."""

    def __init__(self, name: str, checkout: Path, settings: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.settings = settings
        self._folder = folder / name
        self._folder.mkdir()
        links = folder / "links"
        links.mkdir(exist_ok=True)
        if not (links / "bench").exists():
            (links / "bench").symlink_to(HERE / "bench")
        self._variables = {f"QUARTET_{key.upper()}": value for key, value in settings.items()}
        self._variables["PYTHONPATH"] = f"{links}{os.pathsep}{checkout}"

    def load(self, plan: Plan) -> None:
        patient = {f"QUARTET_{role}_TIMEOUT": "30" for role in ("RELATIONAL", "DOCUMENTS", "FEEDS", "SESSIONS")}
        command = [sys.executable, "-P", "-m", "bench.signed_in.load", msgspec.json.encode(plan).decode()]
        subprocess.run(command, env=_own() | self._variables | patient, cwd=self._folder, check=True)

    @contextmanager
    def served(self) -> Iterator[Served]:
        """Run the build's own commands. The relay is a separate process, except on the embedded default."""
        port = free_port()
        # On a busy machine a short timeout would open the breaker, and another code path would be measured; and the
        # gate would refuse requests that wait for a fifth of a second.
        variables = self._variables | {"QUARTET_PORT": str(port), "QUARTET_LOG_FORMAT": "json"}
        variables |= {f"QUARTET_{role}_TIMEOUT": "5" for role in ("CACHE", "SESSIONS", "FEEDS", "RELATIONAL")}
        variables["QUARTET_QUEUE_SECONDS"] = "5"
        command = [sys.executable, "-P", "-c", RELAY]
        with ExitStack() as stack:
            server = stack.enter_context(_running([*command, "serve"], variables, self._folder, "server"))
            pids = {"server": server.pid}
            _await(f"http://127.0.0.1:{port}/health/ready", self._folder / "server.log", server)
            if not self.settings["relational_url"].startswith("sqlite"):
                pids["relay"] = stack.enter_context(_running([*command, "relay"], variables, self._folder, "relay")).pid
            yield Served(f"http://127.0.0.1:{port}", pids)


@contextmanager
def plain(name: str, variables: Mapping[str, str], folder: Path) -> Iterator[Served]:
    """Serve `bench.signed_in.NAME:app`."""
    port = free_port()
    command = [sys.executable, "-m", "bench.signed_in.serve", f"bench.signed_in.{name}:app", str(port)]
    with _running(command, variables, folder, name) as process:
        _await(f"http://127.0.0.1:{port}/", folder / f"{name}.log", process)
        yield Served(f"http://127.0.0.1:{port}", {"server": process.pid})


@contextmanager
def _running(
    command: Sequence[str], variables: Mapping[str, str], folder: Path, name: str
) -> "Iterator[subprocess.Popen[bytes]]":
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            guarded(list(command), death=signal.SIGTERM),
            env=_own() | dict(variables),
            cwd=folder if "PYTHONPATH" in variables else HERE,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _await(url: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the server has ended:\n{log.read_text(encoding='utf-8')[-3000:]}")
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()  # noqa: S310  our own address
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    assert wait_until(answers, PATIENCE), log.read_text(encoding="utf-8")[-3000:]


def _own() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
