"""Ends connections of this process's server whose clients are silent for too long, send too much or do not read.

A WSGI server reveals neither the connection of a request nor how much of the request has arrived. The kernel has these
figures for each connection (`struct tcp_info`, Linux).
"""

import contextlib
import os
import socket
import struct
from functools import cache
from typing import NamedTuple

from app.server.own_sockets import of_port

# Offsets in `struct tcp_info`: milliseconds since data was last sent and received; bytes acknowledged and received.
LAST_SENT, LAST_RECEIVED, ACKNOWLEDGED, RECEIVED, INFO_SIZE = 44, 52, 120, 128, 136
# The kernel drops a client that has not acknowledged any data for this long. Less than the server's time to stop.
STALLED_MS = 8_000


class Traffic(NamedTuple):
    """Traffic of a connection.

    `sent` and `received` are milliseconds since data was last sent and received, the others bytes since it was opened.
    """

    sent: int
    received: int
    bytes_acknowledged: int
    bytes_received: int


def shut_silent(port: int, seconds: float) -> None:
    """Shut down for reading the connections of `port` whose client may have left its request incomplete.

    These are connections on which the client was the last to send and the server has sent nothing for `seconds`. Also
    those where both sides have been silent for three times as long: a client that was asked to go on with its body (100
    Continue), or one that keeps an idle connection.
    """
    limit = seconds * 1000
    for connection in of_port(port):
        with contextlib.suppress(OSError):
            seen = _traffic(connection)
            if (seen.sent >= limit and seen.sent >= seen.received) or min(seen.sent, seen.received) >= 3 * limit:
                connection.shutdown(socket.SHUT_RD)


class Floods:
    """Ends connections of `port` that send too much without being answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._before: dict[int, Traffic] = {}

    def forget(self) -> None:
        self._before.clear()

    @property
    def known(self) -> int:
        """The number of connections whose traffic is remembered."""
        return len(self._before)

    def end(self, most: int) -> None:
        """End connections whose client has sent more than `most` bytes since they were first seen or last answered.

        They are shut down in both directions, so the kernel answers further data with a reset. A connection shut down
        only for reading would still be read as long as its buffer has data.
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
                # A new dict, so that closed connections are forgotten although `forget` may not be called for long.
                self._before[name] = first


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


def _traffic(connection: socket.socket) -> Traffic:
    """The traffic of a connection. Raises `OSError` if the socket is not connected."""
    connection.getpeername()
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
    if len(info) < INFO_SIZE:
        raise OSError("this kernel does not count the bytes of a connection")
    (sent,), (received,) = (struct.unpack_from("=I", info, at) for at in (LAST_SENT, LAST_RECEIVED))
    return Traffic(sent, received, *struct.unpack_from("=QQ", info, ACKNOWLEDGED))
