"""Runs the engines until interrupted, or until the command given after `--` ends."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import NoReturn

from .fleet import Engines
from .guard import guarded
from .process import EngineFailed, EngineMissing

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_USAGE = "usage: python -m tests.engines [-- CMD ...]"


def main(arguments: list[str]) -> int:
    """Start the engines, run the command or wait, stop the engines."""
    if arguments and (arguments[0] != "--" or len(arguments) == 1):
        sys.exit(_USAGE)
    for number in _SIGNALS:
        signal.signal(number, _exit_by_signal)
    engines = Engines()
    try:
        variables = engines.environment()
        return _run(arguments[1:], variables) if arguments else _wait(variables)
    except (EngineFailed, EngineMissing) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    finally:
        engines.close()


def _exit_by_signal(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _wait(variables: dict[str, str]) -> int:
    over = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: over.set())
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()
    over.wait()
    return 0


def _run(command: list[str], variables: dict[str, str]) -> int:
    """Run the command, pass signals on to it and return its exit code."""
    # Started from the main thread, since the command is killed when the thread that started it ends.
    with subprocess.Popen(guarded(command, death=signal.SIGTERM), env={**os.environ, **variables}) as child:

        def forward(number: int, _frame: FrameType | None) -> None:
            # Ctrl-C at a terminal reaches the command directly.
            if number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(number)

        for number in _SIGNALS:
            signal.signal(number, forward)
        code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
