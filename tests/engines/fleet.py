"""All engines of one run."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from . import cassandra, kafka, mongo, postgres, rabbitmq, redis
from .home import Home
from .process import EngineFailed, EngineMissing, Server


class Reachable(Protocol):
    """A running server that can be used but not controlled."""

    @property
    def url(self) -> str: ...

    @property
    def folder(self) -> Path: ...


ServerT_co = TypeVar("ServerT_co", bound=Reachable, covariant=True)


class Fleet(ABC, Generic[ServerT_co]):
    """The five servers and two brokers. Each is started when it is first needed."""

    def postgres(self) -> ServerT_co:
        """Return PostgreSQL. The database role in its URL is the superuser."""
        return self.server("QUARTET_RELATIONAL_URL")

    def mongo(self) -> ServerT_co:
        """Return MongoDB, a replica set of one."""
        return self.server("QUARTET_DOCUMENTS_URL")

    def cassandra(self) -> ServerT_co:
        """Return Cassandra; the keyspace of its URL does not exist yet."""
        return self.server("QUARTET_FEEDS_URL")

    def sessions(self) -> ServerT_co:
        """Return the Redis that is durable."""
        return self.server("QUARTET_SESSIONS_URL")

    def cache(self) -> ServerT_co:
        """Return the Redis that evicts keys."""
        return self.server("QUARTET_CACHE_URL")

    def rabbitmq(self) -> ServerT_co:
        """Return RabbitMQ, in which nothing is declared."""
        return self.server("RABBITMQ")

    def kafka(self) -> ServerT_co:
        """Return Kafka without topics."""
        return self.server("KAFKA")

    def start_all(self) -> None:
        """Start the five servers concurrently."""
        with ThreadPoolExecutor(len(_LAUNCH)) as pool:
            list(pool.map(self.server, _LAUNCH))

    def environment(self) -> dict[str, str]:
        """Start the five servers and return the `QUARTET_*` variables with their URLs."""
        self.start_all()
        return {name: self.server(name).url for name in _LAUNCH}

    @abstractmethod
    def server(self, name: str) -> ServerT_co:
        """Return the server of this variable or broker. Raises `EngineFailed`, `EngineMissing`."""


class Engines(Fleet[Server]):
    """Private servers, which tests may kill and freeze. With `quick`, Cassandra starts faster and is slower later."""

    def __init__(self, *, quick: bool = False) -> None:
        self._launchers = _LAUNCH | _BROKERS | (_QUICK if quick else {})
        self.home = Home()
        self._servers: dict[str, Server] = {}
        self._failures: dict[str, EngineFailed | EngineMissing] = {}
        self._locks = {name: threading.Lock() for name in self._launchers}

    def heal(self) -> None:
        """Bring back the servers that a test killed or froze, for the tests after it."""
        for server in self._servers.values():
            if server.discarded:
                continue
            if not server.running:
                server.restart()
            elif server.paused:
                server.resume()

    def close(self) -> None:
        """Stop all servers and remove their data."""
        for server in self._servers.values():
            server.discard()
        self.home.close()

    def server(self, name: str) -> Server:
        with self._locks[name]:
            if name in self._failures:
                raise self._failures[name]
            if name not in self._servers or self._servers[name].discarded:
                self._servers[name] = self._launch(name)
            return self._servers[name]

    def _launch(self, name: str) -> Server:
        try:
            return self._launchers[name](self.home)
        except (EngineFailed, EngineMissing) as failure:
            # Remember the failure, so that the next test does not wait for it again.
            self._failures[name] = failure
            raise


_LAUNCH: dict[str, Callable[[Home], Server]] = {
    "QUARTET_RELATIONAL_URL": postgres.launch,
    "QUARTET_DOCUMENTS_URL": mongo.launch,
    "QUARTET_FEEDS_URL": cassandra.launch,
    "QUARTET_SESSIONS_URL": redis.launch_sessions,
    "QUARTET_CACHE_URL": redis.launch_cache,
}
_BROKERS: dict[str, Callable[[Home], Server]] = {"RABBITMQ": rabbitmq.launch, "KAFKA": kafka.launch}
_QUICK = {"QUARTET_FEEDS_URL": cassandra.launch_quick}
