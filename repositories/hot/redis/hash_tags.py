"""The cache's names in Redis, by hash tag. One node has them all, without a tag."""

import time
from collections.abc import Collection, Sequence

from repositories.hot.encoding import text_bytes
from repositories.hot.redis import scripts
from repositories.hot.redis.wire import Command

Argument = bytes | int | str
# The number is the schema of what is stored.
_PLACE = "quartet:5:"
_CLOCK_SECONDS = 5.0


class ServerClock:
    """The server's time, read now and then and carried on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._known = (0.0, -_CLOCK_SECONDS)

    def is_old(self) -> bool:
        return time.monotonic() - self._known[1] >= _CLOCK_SECONDS

    def set(self, reply: Sequence[bytes]) -> None:
        self._known = (int(reply[0]) + int(reply[1]) / 1e6, time.monotonic())

    def now(self) -> float:
        server, mine = self._known
        return server + time.monotonic() - mine


def epoch_name(place: bytes) -> bytes:
    """Of the names that begin so."""
    return place + b"epoch"


class Shard:
    """The names with one hash tag, and what is known of the server that has them."""

    def __init__(self, tag: str) -> None:
        self._place = f"{_PLACE}{tag}".encode()
        self.epoch_name, self.server_name = epoch_name(self._place), self._place + b"server"
        self.clock = ServerClock()
        self.epoch = b""

    def value(self, key: str) -> bytes:
        return self._place + b"v:" + text_bytes(key)

    def lease(self, key: str) -> bytes:
        return self._place + b"l:" + text_bytes(key)

    def names(self, keys: Collection[str]) -> list[bytes]:
        """A value's and its lease's in turn."""
        return [name for key in keys for name in (self.value(key), self.lease(key))]

    def script(self, script: str, keys: Collection[str], arguments: Sequence[Argument]) -> Command:
        return command_of(script, [self.epoch_name, *self.names(keys)], arguments)


def command_of(script: str, names: Sequence[bytes], arguments: Sequence[Argument]) -> Command:
    return ("EVALSHA", scripts.SHA[script], len(names), *names, *arguments)
