"""`quartet move`, killed by SIGKILL at a step of its own: right before it does something at either place."""

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
# Before the n-th time of it; -1 is while writers wait.
STEPS = (
    *(("old.capture", 1), ("new.receive", 1), ("new.loading", 1), ("old.moment", 2), ("old.switching", 1)),
    *(("old.moment", -1), ("new.open", 1)),
)
_STEP = "KILLED_BEFORE"
# Of the command and of the server: a busy machine is no store that is away.
PATIENT = {f"{role.upper()}_TIMEOUT": "20" for role in command.ROLES}


class Killing:
    """Moves that are killed at some of the steps, with the next ones in each move, and then not."""

    def __init__(self, folder: Path, kills: int) -> None:
        self._folder = folder
        self._kills = kills
        self._steps = itertools.cycle(STEPS)

    def moved(self, role: str, url: str) -> str:
        """What the last command said."""
        engine = url.partition(":")[0]
        for what, nth in itertools.islice(self._steps, self._kills):
            code, said = _run([sys.executable, "-m", __name__], self._folder, role, url, f"{what}:{nth}")
            # One that was killed behind its switch is done, and the cache has nothing to copy: such steps do not come.
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


class Deadly:
    """A place at which the process ends before a call."""

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


class DeadlyMove(mover.Move):
    def __init__(self, old: Any, new: Any, **named: Any) -> None:
        seen: Counter[str] = Counter()
        super().__init__(Deadly(old, "old", seen), Deadly(new, "new", seen), **named)


if __name__ == "__main__":
    vars(command)["Move"] = DeadlyMove
    main()
