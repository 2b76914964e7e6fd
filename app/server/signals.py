"""Functions that a worker runs on signals: it ends its streams and begins to drain."""

import signal
import socket
import threading
from collections.abc import Callable, Mapping

ENDINGS: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)


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
