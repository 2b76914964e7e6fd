"""Processes, by /proc and signals, and free ports."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_PAUSE = threading.Event()
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Process(NamedTuple):
    """A process that cannot be mistaken for a later one with the same id."""

    pid: int
    start: int

    def alive(self) -> bool:
        """Tell whether it still runs. A zombie does not count as running."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.start and fields[0] not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.alive():
            os.kill(self.pid, number)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on, or None if the process does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(") ")[2].split()


def process(pid: int) -> Process | None:
    """Return the process with this id, or None if it does not exist."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields else None


def descendants(pid: int) -> list[Process]:
    """Return all descendants of a process by parent ids, since PostgreSQL's children have separate sessions."""
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(Process(int(entry.name), int(fields[19])))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child.pid, [])
    return found


def freeze(root: Process) -> list[Process]:
    """Stop a process first, so that it starts no more children, then its descendants. Returns the descendants."""
    root.send(signal.SIGSTOP)
    wait_until(lambda: (_stat(root.pid) or "Z")[0] in "TtZX", 5)
    family = descendants(root.pid)
    for member in family:
        member.send(signal.SIGSTOP)
    return family


def destroy(root: Process) -> list[Process]:
    """Send SIGKILL to a process and all its descendants; return the descendants."""
    family = freeze(root)
    for member in (root, *family):
        member.send(signal.SIGKILL)
    return family


def wait_gone(processes: Iterable[Process], seconds: float) -> bool:
    """Wait until none of the processes runs."""
    members = list(processes)
    return wait_until(lambda: not any(member.alive() for member in members), seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds or the time is over. Returns whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        _PAUSE.wait(0.02)
    return True


def free_port() -> int:
    """Return a free port below the range that the kernel assigns to clients.

    Otherwise the kernel might assign the port of a dead server to a client that retries against it.
    """
    first = int(_PORT_RANGE.read_text(encoding="ascii").split()[0])
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(max(1024, first - 12_000), first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
