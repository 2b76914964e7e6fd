"""Endless responses on granian's WSGI server: each on a thread of its own, ended at once when the server ends.

granian iterates over a response's body on the blocking thread that made it, so a few streams would take all of them.
More blocking threads are no way out: under load ordinary requests spread over all of them, which costs a tenth of
their rate and doubles the slowest hundredth (measured; a semaphore around them does not help). So what is sent to
the client is handed to another thread, which the server's protocol object allows.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

Headers = list[tuple[str, str]]
EVENT_STREAM = "text/event-stream"
ENDLESS = ("Content-Type", EVENT_STREAM)
ENDINGS = {signal.SIGTERM, signal.SIGINT}
# A client that takes nothing for so long is dropped by the kernel. It is less than the server's time to end.
STALLED_MS = 8_000


class _Wire(Protocol):
    """What granian gives to send one response with. It may be used from any thread."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...
    def response_iter(self, status: int, headers: Headers, body: Any) -> None: ...


class _HandingOver:
    """A wire that sends endless bodies on threads of their own."""

    __slots__ = ("_prepare", "_wire", "response_bytes")

    def __init__(self, wire: _Wire, prepare: Callable[[], None]) -> None:
        self._wire = wire
        self._prepare = prepare
        self.response_bytes = wire.response_bytes

    def response_iter(self, status: int, headers: Headers, body: Any) -> None:
        if ENDLESS not in headers:
            self._wire.response_iter(status, headers, body)
            return
        self._prepare()
        send = threading.Thread(
            target=self._wire.response_iter, args=(status, headers, body), name="stream", daemon=True
        )
        try:
            send.start()
        except RuntimeError:
            body.close()
            raise


def hand_over_streams(port: int) -> None:
    """Change how granian's WSGI workers of this process send. To be called before the worker serves."""
    from granian.server import mp

    # granian has no public way to this; a test with more streams than threads holds that it works.
    server: Any = mp
    wrap = server._wsgi_call_wrap  # noqa: SLF001
    prepare = cache(partial(drop_stalled, port))

    def wrapped(*options: Any) -> Callable[[_Wire, Any], Any]:
        run = wrap(*options)
        return lambda wire, scope: run(_HandingOver(wire, prepare), scope)

    server._wsgi_call_wrap = wrapped  # noqa: SLF001


def on_ending(act: Callable[[], None]) -> None:
    """Act as soon as this process is told to end, while its server waits for the responses under way.

    Must be called on the main thread. The server's own signal handlers stay as they are.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    # The descriptor is the signal machinery's for as long as the process lives.
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)

    def watch() -> None:
        while receiver.recv(1)[0] not in ENDINGS:
            pass
        act()

    threading.Thread(target=watch, name="ending", daemon=True).start()


def drop_stalled(port: int) -> None:
    """Have the kernel drop clients of `port` that take nothing, those that are connected and those to come.

    Accepted connections inherit the option from the listening socket, which only the server's inside knows.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as found:
                if found.family in {socket.AF_INET, socket.AF_INET6} and found.getsockname()[1] == port:
                    found.setsockopt(socket.IPPROTO_TCP, option, STALLED_MS)
        except OSError:
            continue
