"""Measures the memory of the processes of `quartet serve` after traffic: lists, feeds, profiles, writes, checkouts.

`python -m bench.memory [--rung "+ Cassandra"] [--seconds 10]`: on four engines, which it starts, or on another rung of
docs/growing.md. The figures are from `smaps_rollup`, in MB: *resident* (Rss); *proportional* (Pss), which divides
shared pages among the processes that share them; and *own*, the private pages.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import Struct

from bench.ladder.rungs import RUNGS, urls_of
from bench.ladder.traffic import READS, SHOPPING, WRITES, Town, settle, stocked
from bench.overload import Drive
from bench.reads.server import Server
from config import Settings
from config.logs import configure
from tests.apps import ROLES, running
from tests.engines import Engines
from tests.engines.guard import guarded
from tests.engines.kernel import descendants, free_port, wait_until

CONNECTIONS, PATIENCE = 8, 120.0
KILOBYTES = 1024
MIX = READS | WRITES | SHOPPING


class Memory(Struct, frozen=True):
    """In MB."""

    resident: float
    proportional: float
    own: float

    def __str__(self) -> str:
        return f"resident {self.resident:.0f}, proportional {self.proportional:.0f}, own {self.own:.0f}"


@click.command(help=__doc__)
@click.option("--rung", type=click.Choice(list(RUNGS)), default=list(RUNGS)[-1], show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of traffic.")
def main(rung: str, workers: int, seconds: float) -> None:
    configure("warning", "console")
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            urls = urls_of(rung, engines, folder)
            slow = {f"{role}_timeout": 10.0 for role in ROLES}
            with running(Settings(**urls, **slow)) as system:  # type: ignore[arg-type]  # by name
                town = stocked(settle(system))
            settings = {f"QUARTET_{name.upper()}": str(value) for name, value in (urls | slow).items()}
            with _serving(settings | {"QUARTET_WORKERS": str(workers), "QUARTET_RELAY": "external"}, folder) as server:
                _say("before any request", server)
                _ask(server, town, seconds)
                _say(f"after {seconds:g} s of traffic", server)
    finally:
        engines.close()
    click.echo(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


@contextmanager
def _serving(settings: Mapping[str, str], folder: Path) -> Iterator[Server]:
    port = free_port()
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "QUARTET_PORT": str(port), **settings}
    with (folder / "server.log").open("wb") as log:
        command = guarded([str(Path(sys.executable).parent / "quartet"), "serve"], death=signal.SIGTERM)
        process = subprocess.Popen(command, cwd=folder, env=own, stdout=log, stderr=log)
    try:
        server = Server(process, port, "/health/live")
        assert wait_until(server.serves, PATIENCE), (folder / "server.log").read_text(encoding="utf-8")
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ask(server: Server, town: Town, seconds: float) -> None:
    load = Drive(server.port, town.requests(MIX, 1), 0, CONNECTIONS).run(seconds)
    click.echo(f"{len(load.took):,} answers, {load.refused} refused, {load.failed} failed")


def _say(when: str, server: Server) -> None:
    click.echo(f"{when}, MB:")
    family = [server.pid, *(child.pid for child in descendants(server.pid))]
    for place, pid in enumerate(family):
        click.echo(f"  {'main process' if place == 0 else f'process {place}'}: {memory(pid)}")


def memory(pid: int) -> Memory:
    fields = dict[str, int]()
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value, *_ = line.split()
        fields[name.rstrip(":")] = int(value)
    own = fields["Private_Clean"] + fields["Private_Dirty"]
    return Memory(*(kilobytes / KILOBYTES for kilobytes in (fields["Rss"], fields["Pss"], own)))


if __name__ == "__main__":
    main()
