"""The common base of the Redis adapters, and the interface that they use of their link."""

from typing import Any, Protocol

from repositories.hot.redis.wire import Command
from repositories.read_your_writes import HostState
from repositories.store import Store


class RedisClient(Protocol):
    """The link to Redis, to one server or to a cluster; see `RedisLink`."""

    def exchange(self, *commands: Command, again: bool) -> list[Any]: ...

    def ping(self) -> None: ...

    def hosts(self) -> list[HostState]: ...

    def close(self) -> None: ...


class RedisStore(Store):
    """The methods that are the same for all stores in Redis. There is no schema."""

    _link: RedisClient

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  there is nothing to do
        return []

    def ping(self) -> None:
        self._link.ping()

    def hosts(self) -> list[HostState]:
        return self._link.hosts()

    def close(self) -> None:
        self._link.close()
