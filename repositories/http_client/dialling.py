"""Opens connections to an origin with a deadline, even if its name servers or some of its addresses do not answer."""

import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from repositories.http_client.name_lookup import look_up
from repositories.http_client.origin import Origin

Address = tuple[Any, ...]


class BrokenExchange(OSError):
    """The answer is not valid HTTP, or no address of the host is permitted."""


class Dialler:
    """Opens connections to one origin. The name is resolved each time; `permits` is called with the address itself.

    The address that answered last is tried first, since one that stalls would use up its share of the time each time.
    """

    def __init__(self, origin: Origin, permits: Callable[[str], bool]) -> None:
        self._origin = origin
        self._permits = permits
        self._answered: Address | None = None

    def open(self, until: float) -> socket.socket:
        """A connected socket. Raises `OSError` (`TimeoutError` after `until`, a time of `time.monotonic`)."""
        found = [one for one in addresses_of(self._origin, until) if self._permits(one[4][0])]
        if not found:
            raise BrokenExchange(f"{self._origin.host} has no address that may be spoken to")
        found.sort(key=lambda one: one[4] != self._answered)
        failure: OSError = BrokenExchange("not tried")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            share = time.monotonic() + left(until) / (len(found) - number)
            try:
                opened = self._connected(socket.socket(family, kind, protocol), address, share)
            except OSError as error:
                failure = error
            else:
                self._answered = address
                return opened
        raise failure

    def _connected(self, sock: socket.socket, address: Address, until: float) -> socket.socket:
        """Connect, including the TLS handshake: an address may accept connections and never answer."""
        try:
            sock.settimeout(left(until))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._origin.scheme == "http":
                return sock
            sock.settimeout(left(until))
            return _tls().wrap_socket(sock, server_hostname=self._origin.host)
        except BaseException:
            sock.close()
            raise


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def addresses_of(origin: Origin, until: float) -> list[Any]:
    """The addresses of an origin, in the form of `getaddrinfo`. Raises `OSError`."""
    with contextlib.suppress(ValueError):
        ip_address(origin.host)
        return socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    try:
        return look_up(origin.host, origin.port, left(until))
    except UnicodeError:
        raise BrokenExchange(f"{origin.host} is no name of a host") from None


def left(until: float) -> float:
    """Seconds until `until`. Raises `TimeoutError` if there are none left."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds
