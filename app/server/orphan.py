"""Ends a worker whose main process was killed. Otherwise it would hold the port, without a relay beside it."""

import os
import select
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any


def end_with(parent: "Connection[Any, Any]") -> None:
    """Send this process SIGTERM as soon as the other end of this pipe is closed, or at once if it is closed already.

    The caller must close its inherited copy of the other end. Data in the pipe is not read.
    """
    threading.Thread(target=_watch, args=(parent,), name="orphan", daemon=True).start()


def _watch(parent: "Connection[Any, Any]") -> None:
    closed = select.poll()
    closed.register(parent, 0)
    closed.poll()
    os.kill(os.getpid(), signal.SIGTERM)
