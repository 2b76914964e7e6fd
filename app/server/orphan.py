"""A worker whose server was killed ends too, instead of holding the port without a relay beside it."""

import os
import select
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any


def end_with(parent: "Connection[Any, Any]") -> None:
    """From now on, send this process SIGTERM when the other end of this pipe is closed, or was before.

    It is this process's business to close what it has inherited of that end. What is written to the pipe stays there.
    """
    threading.Thread(target=_watch, args=(parent,), name="orphan", daemon=True).start()


def _watch(parent: "Connection[Any, Any]") -> None:
    closed = select.poll()
    closed.register(parent, 0)
    closed.poll()
    os.kill(os.getpid(), signal.SIGTERM)
