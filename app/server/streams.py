"""Live streams on a WSGI server: a thread for each beside those for requests, ended at once when the server ends.

A WSGI server sends a response's body on the thread that made it, so a few streams would take all of them. The server
therefore has a thread for each stream too, which it starts when it is needed, and the gate (`gate.py`) keeps ordinary
requests from spreading over all of them. What that costs: docs/decisions/0009-streams-and-threads.md.
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
# A client that takes nothing for so long is dropped by the kernel. It is less than the server's time to end.
STALLED_MS = 8_000


def on_signals(acts: Mapping[int, Callable[[], None]]) -> None:
    """Act, once for each number, as soon as this process gets such a signal, while its main thread is the server's.

    Must be called on the main thread. The server's own signal handlers stay as they are.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    # The descriptor is the signal machinery's for as long as the process lives.
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
    """Have the kernel drop clients of `port` that take nothing, those that are connected and those to come.

    Accepted connections inherit the option from the listening socket. The server has no setting for it and opens that
    socket after the application is imported, so the first stream does this.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    for found in of_port(port):
        with contextlib.suppress(OSError):
            found.setsockopt(socket.IPPROTO_TCP, option, STALLED_MS)
