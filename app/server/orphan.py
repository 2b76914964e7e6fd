"""A worker whose server was killed ends too, instead of holding the port without a relay beside it."""

import os
import signal
import threading

SECONDS = 1.0


def end_with_parent() -> None:
    """From now on, send this process SIGTERM when its parent has gone."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="orphan", daemon=True).start()


def _watch(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
