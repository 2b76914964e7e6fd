"""Connections of this process's server that are ended: of clients that owe something for too long, or send too much.

A WSGI server says neither which connection a request came by nor how much of it has come; the kernel says it of each
(`struct tcp_info`, Linux).
"""

import contextlib
import os
import socket
import struct
from typing import NamedTuple

from app.server.own_sockets import of_port

# Offsets in `struct tcp_info`: milliseconds since data was sent and since it was received; bytes of either.
LAST_SENT, LAST_RECEIVED, ACKNOWLEDGED, RECEIVED, INFO_SIZE = 44, 52, 120, 128, 136


class Traffic(NamedTuple):
    """`sent` and `received` in milliseconds since the last data; the others in bytes since the connection began."""

    sent: int
    received: int
    bytes_acknowledged: int
    bytes_received: int


def shut_silent(port: int, seconds: float) -> None:
    """Shut for reading the connections of `port` to which nothing was sent for so long, though the client spoke later.

    Those where both sides have been silent for three times as long are ended too: a client that was asked to go on
    with its body, or one that keeps a connection for its next request.
    """
    limit = seconds * 1000
    for connection in of_port(port):
        with contextlib.suppress(OSError):
            seen = _traffic(connection)
            if (seen.sent >= limit and seen.sent >= seen.received) or min(seen.sent, seen.received) >= 3 * limit:
                connection.shutdown(socket.SHUT_RD)


class Floods:
    """Ends connections of `port` that bring too much without an answer in between."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._before: dict[int, Traffic] = {}

    def forget(self) -> None:
        self._before.clear()

    @property
    def known(self) -> int:
        """Connections whose bytes are remembered."""
        return len(self._before)

    def end(self, most: int) -> None:
        """Those that have brought more than `most` bytes since they were first seen, or were last sent something.

        Both ways are shut: what arrives after that is answered by a reset. A connection that is only shut for reading
        goes on to be read while there is something in it.
        """
        before, self._before = self._before, {}
        for connection in of_port(self._port):
            with contextlib.suppress(OSError):
                now, name = _traffic(connection), os.fstat(connection.fileno()).st_ino
                first = before.get(name, now)
                if first.bytes_acknowledged != now.bytes_acknowledged:
                    first = now
                elif now.bytes_received - first.bytes_received > most:
                    connection.shutdown(socket.SHUT_RDWR)
                # Not those that are gone, or a body that always comes would keep every connection there ever was.
                self._before[name] = first


def _traffic(connection: socket.socket) -> Traffic:
    """Raises `OSError` for what is not connected."""
    connection.getpeername()
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
    if len(info) < INFO_SIZE:
        raise OSError("this kernel does not count the bytes of a connection")
    (sent,), (received,) = (struct.unpack_from("=I", info, at) for at in (LAST_SENT, LAST_RECEIVED))
    return Traffic(sent, received, *struct.unpack_from("=QQ", info, ACKNOWLEDGED))
