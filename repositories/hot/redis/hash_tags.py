"""The names of the cache's keys in Redis, by hash tag. On a single node they have no tag."""

import time
from collections.abc import Collection, Sequence

from repositories.hot.encoding import text_bytes
from repositories.hot.redis import cache_scripts as scripts
from repositories.hot.redis.wire import Command

Argument = bytes | int | str
# The number is the version of the storage format.
_PLACE = "quartet:5:"
_CLOCK_SECONDS = 5.0


class ServerClock:
    """The server's time, read now and then and extrapolated with this machine's monotonic clock."""

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
    """The name of the epoch for the names with this prefix."""
    return place + b"epoch"


class Shard:
    """The names with one hash tag, and the clock and epoch of the server that has them."""

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
        """For each key the names of its value and of its lease."""
        return [name for key in keys for name in (self.value(key), self.lease(key))]

    def script(self, script: str, keys: Collection[str], arguments: Sequence[Argument]) -> Command:
        return command_of(script, [self.epoch_name, *self.names(keys)], arguments)


def command_of(script: str, names: Sequence[bytes], arguments: Sequence[Argument]) -> Command:
    return ("EVALSHA", scripts.SHA[script], len(names), *names, *arguments)
