"""Sets the user, asks the kernel for a signal at the parent's death, and execs the command of a server.

Run as a separate program, since a `preexec_fn` may deadlock in a process that has threads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def guarded(command: list[str], *, death: signal.Signals = signal.SIGKILL, user: int | None = None) -> list[str]:
    """Return the command line that runs `command` so that it ends with the calling thread."""
    who = "" if user is None else str(user)
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), str(int(death)), who, *command]


def _become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _main() -> None:
    parent, death, user, *command = sys.argv[1:]
    if user:
        _become(int(user))
    # Set it after the change of user, which clears it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as problem:
        sys.stderr.write(f"{command[0]}: {problem.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    _main()
