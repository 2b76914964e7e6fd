"""Processor time of groups of processes, out of /proc."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tests.engines.kernel import descendants

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 3.0

# Seconds by the name of the group.
Seconds = Mapping[str, float]


class Groups(Struct, frozen=True):
    """Each group is the processes with these ids and their descendants."""

    roots: Mapping[str, tuple[int, ...]]

    def spent(self) -> Seconds:
        """So far, to the kernel's hundredth."""
        return {name: sum(map(_family, pids)) for name, pids in self.roots.items()}

    def idle(self) -> Seconds:
        """In a second in which nobody asks: relays that poll, and what else engines do for themselves."""
        before = self.spent()
        time.sleep(IDLE_SECONDS)
        return {name: seconds / IDLE_SECONDS for name, seconds in since(before, self.spent()).items()}


def since(before: Seconds, after: Seconds) -> Seconds:
    return {name: after[name] - before[name] for name in after}


def _family(root: int) -> float:
    return (_ticks(root, ended=True) + sum(_ticks(one.pid) for one in descendants(root))) / TICKS


def _ticks(process: int, *, ended: bool = False) -> int:
    """User and system time, with that of its children that have ended if asked for; 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11 : 15 if ended else 13]))
