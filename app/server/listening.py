"""Finds out, before anything is opened, whether this process will be able to listen where its settings say."""

import errno
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

log = logging.getLogger(__name__)
PAUSE = 0.1  # seconds


class ListenAddress(NamedTuple):
    """An address to listen on, and the settings that name it."""

    settings: str
    host: str
    port: int


class CannotListen(Exception):
    """The message is one line that names the settings. `in_use`: another process listens there."""

    def __init__(self, wanted: ListenAddress, error: OSError) -> None:
        super().__init__(
            f"{wanted.settings}: cannot listen on {wanted.host}, port {wanted.port}: {error.strerror or error}"
        )
        self.in_use = error.errno == errno.EADDRINUSE


def require_free(addresses: Sequence[ListenAddress], *, seconds: float) -> None:
    """Raise `CannotListen` unless all `addresses` can be listened on at once. Waits `seconds` for those in use.

    granian shares its port with every other process of the same user that does so too (`SO_REUSEPORT`): a second server
    would get every other connection of the first one. A server that is stopping listens for a moment longer.
    """
    until = time.monotonic() + seconds
    logged = False
    while True:
        try:
            _listen_on(addresses)
        except CannotListen as error:
            if not error.in_use or time.monotonic() > until:
                raise
            if not logged:
                log.warning("waiting for an address: %s", error)
                logged = True
            time.sleep(PAUSE)
        else:
            return


def _listen_on(addresses: Sequence[ListenAddress]) -> None:
    """Listen on all `addresses`, and close them again."""
    with ExitStack() as listening:
        for wanted in addresses:
            try:
                family, kind, protocol, _, address = socket.getaddrinfo(
                    wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )[0]
                probe = listening.enter_context(socket.socket(family, kind, protocol))
                # Connections of an earlier server that have ended do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
            except OSError as error:
                raise CannotListen(wanted, error) from error
