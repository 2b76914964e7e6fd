"""Measures the time from `quartet start` to the first answer, in a folder where it has been started before.

`python -m bench.start [--times 10] [--workers 2] [--program PATH]`; settings come from `QUARTET_*` as always. Granian
and flask-smorest also import optional packages that are installed for the tests; to leave them out, `--program` may
name the `quartet` of a separate installation.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.reads.server import Server
from tests.engines.guard import guarded
from tests.engines.kernel import free_port

LIVE = "/health/live"
PAUSE = 0.002
# Prints a line when the guard, itself a Python program, has started it, and runs the program once it reads a line. So
# the start of the guard is not measured.
WAITING = ("/bin/sh", "-c", 'echo; read -r _; exec "$0" "$@" </dev/null >/dev/null')


class Start(NamedTuple):
    wall: float  # seconds
    busy: float  # CPU seconds of all processes until then


def started(program: str, folder: Path, settings: Mapping[str, str]) -> Start:
    port = free_port()
    own = {**settings, "PATH": os.environ["PATH"], "HOME": str(folder), "QUARTET_PORT": str(port)}
    with subprocess.Popen(
        guarded([*WAITING, program, "start"], death=signal.SIGTERM),
        cwd=folder,
        env=own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdout.readline()
            server = Server(process, port, LIVE)
            used, began = server.busy(), time.monotonic()
            process.stdin.write(b"\n")
            process.stdin.close()
            while not server.serves():
                time.sleep(PAUSE)
            return Start(time.monotonic() - began, server.busy() - used)
        finally:
            process.terminate()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--program", default=str(Path(sys.executable).parent / "quartet"))
    chosen = options.parse_args()
    settings = {name: value for name, value in os.environ.items() if name.startswith("QUARTET_")}
    settings |= {"QUARTET_WORKERS": str(chosen.workers), "QUARTET_DRAIN_SECONDS": "0"}
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [started(chosen.program, Path(folder), settings) for _ in range(chosen.times + 1)]
    print(f"first start, which migrates and seeds: {first.wall:.2f} s, {first.busy:.2f} of the processors")
    walls, busy = sorted(one.wall for one in others), sorted(one.busy for one in others)
    print(f"later starts: {walls[0]:.2f} to {walls[-1]:.2f} s, median {median(walls):.2f}")
    print(f"  of the processors {busy[0]:.2f} to {busy[-1]:.2f} s, median {median(busy):.2f}")
    print(f"  load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
