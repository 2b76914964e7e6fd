"""CPU time of groups of processes, read from /proc."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench.signed_in.builds import Served
from tests.engines.kernel import descendants

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 3.0

# Seconds by the name of the group.
Seconds = Mapping[str, float]


class Groups(Struct, frozen=True):
    """Groups of processes: those of each served build by (build, name), and the shared engines by ("", name).

    A group is the processes with these ids and their descendants.
    """

    roots: Mapping[tuple[str, str], tuple[int, ...]]

    @classmethod
    def of(cls, served: Mapping[str, Served], engines: Mapping[str, tuple[int, ...]]) -> "Groups":
        own = {(who, name): (pid,) for who, one in served.items() for name, pid in one.pids.items()}
        return cls({("", name): pids for name, pids in engines.items()} | own)

    def spent(self, who: str) -> Seconds:
        """CPU seconds so far of the engines and of `who`, in the kernel's resolution of a hundredth."""
        return {name: sum(map(_family, pids)) for (of, name), pids in self.roots.items() if of in {"", who}}

    def idle(self, everybody: Mapping[str, object]) -> Mapping[str, Seconds]:
        """CPU seconds per second without requests: polling relays, and background work of the engines."""
        before = {who: self.spent(who) for who in everybody}
        began = time.monotonic()
        time.sleep(IDLE_SECONDS)
        took = time.monotonic() - began
        after = {who: self.spent(who) for who in everybody}
        return {
            who: {name: seconds / took for name, seconds in since(before[who], after[who]).items()} for who in everybody
        }


def since(before: Seconds, after: Seconds) -> Seconds:
    return {name: after[name] - before[name] for name in after}


def _family(root: int) -> float:
    return (_ticks(root, ended=True) + sum(_ticks(one.pid) for one in descendants(root))) / TICKS


def _ticks(process: int, *, ended: bool = False) -> int:
    """User and system time in clock ticks; 0 for a process that has ended. `ended` adds that of its ended children."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11 : 15 if ended else 13]))
