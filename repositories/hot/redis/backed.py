"""The common base of the adapters of Redis, and what they need of the way to it."""

from typing import Any, Protocol

from repositories.hot.redis.wire import Command
from repositories.read_your_writes import HostState
from repositories.store import Store


class RedisWay(Protocol):
    """What adapters need of the way to Redis; see `RedisLink`."""

    def exchange(self, *commands: Command, again: bool) -> list[Any]: ...

    def ping(self) -> None: ...

    def hosts(self) -> list[HostState]: ...

    def close(self) -> None: ...


class RedisBacked(Store):
    """The part of a port that is the same for everything in Redis, which has no schema."""

    _link: RedisWay

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  nothing to take, so nothing to spare
        return []

    def ping(self) -> None:
        self._link.ping()

    def hosts(self) -> list[HostState]:
        return self._link.hosts()

    def close(self) -> None:
        self._link.close()
