"""Graceful shutdown: after SIGTERM the server still answers for a while, and makes proxies use another server.

The main process signals its workers (`drain_first`). From then on `/health/ready` is a 503, and each answer closes its
connection, so that a proxy has none to reuse when the server stops. A second SIGTERM, or a SIGINT, stops at once.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
# Key in the WSGI environ: set while the server drains before it stops.
ENDING = "quartet.ending"
DRAIN: int = signal.SIGUSR1


class Draining:
    """WSGI middleware around all others. `begin` starts the draining."""

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner
        self._begun = False

    def begin(self) -> None:
        self._begun = True

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if not self._begun:
            return self._inner(environ, start_response)
        environ[ENDING] = True

        def start(status: str, fields: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*fields, ("Connection", "close")], *error)

        return self._inner(environ, start)


def drain_first(seconds: float) -> None:
    """Delay the current handler of SIGTERM by `seconds`, and have the workers drain meanwhile; 0 changes nothing.

    Must be called in the main thread, after the server has set its handler.
    """
    if not seconds:
        return
    end: Any = signal.getsignal(signal.SIGTERM)
    asked = threading.Event()

    def drain(number: int, frame: Any) -> None:
        if asked.is_set():
            end(number, frame)
            return
        asked.set()
        for worker in multiprocessing.active_children():
            if worker.pid is not None:
                os.kill(worker.pid, DRAIN)
        later = threading.Timer(seconds, end, (number, frame))
        later.daemon = True
        later.start()

    # Workers inherit this, so the signal does not kill one that is just starting and has no handler yet.
    signal.signal(DRAIN, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, drain)
