"""`quartet move`, killed by SIGKILL at one of its steps: right before a call of either place."""

import itertools
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from app.cli import main
from app.moving import command, mover
from tests.system.live import PATIENCE, QUARTET, environment

log = logging.getLogger(__name__)
# Steps: a call, and before which occurrence of it the move is killed; -1: before the one while writers wait.
STEPS = (
    *(("old.capture", 1), ("new.receive", 1), ("new.loading", 1), ("old.moment", 2), ("old.switching", 1)),
    *(("old.moment", -1), ("new.open", 1)),
)
_STEP = "KILLED_BEFORE"
# Long timeouts for the command and the server, so that a slow machine does not look like an unavailable store.
PATIENT = {f"{role.upper()}_TIMEOUT": "20" for role in command.ROLES}


class KilledMoves:
    """Runs each move killed at a number of steps, and finally to its end. Every move continues the cycle of steps."""

    def __init__(self, folder: Path, kills: int) -> None:
        self._folder = folder
        self._kills = kills
        self._steps = itertools.cycle(STEPS)

    def moved(self, role: str, url: str) -> str:
        """Move a role; returns the output of the last command."""
        engine = url.partition(":")[0]
        for what, nth in itertools.islice(self._steps, self._kills):
            code, said = _run([sys.executable, "-m", __name__], self._folder, role, url, f"{what}:{nth}")
            # 0: the step did not occur, since an earlier command was killed after its switch, or since the cache copies
            # nothing.
            assert code in {-signal.SIGKILL, 0}, said
            log.info("%s to %s: %s", role, engine, f"killed before {what}" if code else f"without {what}")
        code, said = _run([QUARTET], self._folder, role, url)
        assert code == 0, said
        return said


def _run(program: list[str], folder: Path, role: str, url: str, step: str = "") -> tuple[int, str]:
    own = environment(folder, PATIENT) | ({_STEP: step} if step else {})
    said = folder / "move.log"
    with said.open("w") as output:
        done = subprocess.run(
            [*program, "move", role, "--to", url],
            cwd=folder,
            env=own,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=10 * PATIENCE,
            check=False,
        )
    return done.returncode, said.read_text()


class KillingPlace:
    """A place that kills the process before a given call."""

    def __init__(self, inner: Any, name: str, seen: Counter[str]) -> None:
        self._inner, self._name, self._seen = inner, name, seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any) -> Any:
            what, _, nth = os.environ[_STEP].partition(":")
            this = f"{self._name}.{name}"
            self._seen[this] += 1
            if this == what and ("old.switching" in self._seen if nth == "-1" else self._seen[this] == int(nth)):
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*args)

        return call


class KillingMove(mover.Move):
    def __init__(self, old: Any, new: Any, **named: Any) -> None:
        seen: Counter[str] = Counter()
        super().__init__(KillingPlace(old, "old", seen), KillingPlace(new, "new", seen), **named)


if __name__ == "__main__":
    vars(command)["Move"] = KillingMove
    main()
