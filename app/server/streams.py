"""Live streams on a WSGI server: each has a thread in addition to those for requests, and ends when the server stops.

A WSGI server sends a response's body on the thread that made it, so a few streams would occupy all threads. The server
therefore may start an additional thread for each stream, and the gate (`gate.py`) keeps ordinary requests from running
on all of them at once. What that costs: docs/decisions/0009-streams-and-threads.md.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from functools import cache

from app.server.own_sockets import of_port

EVENT_STREAM = "text/event-stream"
ENDINGS: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
# The kernel drops a client that has not acknowledged any data for this long. Less than the server's time to stop.
STALLED_MS = 8_000


def on_signals(acts: Mapping[int, Callable[[], None]]) -> None:
    """Run the function of a signal number on another thread, the first time that this process gets the signal.

    The main thread runs the server's own code. Must be called on it. The server's signal handlers stay in place.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    # The interpreter keeps this descriptor for as long as the process lives.
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)

    def watch() -> None:
        left = dict(acts)
        while left:
            act = left.pop(receiver.recv(1)[0], None)
            if act is not None:
                act()

    threading.Thread(target=watch, name="signals", daemon=True).start()


@cache
def drop_stalled(port: int) -> None:
    """Have the kernel drop present and future clients of `port` that do not read, by `TCP_USER_TIMEOUT`.

    Accepted connections inherit the option from the listening socket. granian has no setting for it and opens that
    socket after the application is imported, so the first stream calls this.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    for found in of_port(port):
        with contextlib.suppress(OSError):
            found.setsockopt(socket.IPPROTO_TCP, option, STALLED_MS)
