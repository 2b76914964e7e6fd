"""All engines of one run."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import cassandra, mongo, postgres, redis
from .home import Home
from .process import EngineFailed, EngineMissing, Server


class Engines:
    """Starts each engine when it is first asked for; `close` stops them all."""

    def __init__(self) -> None:
        self.home = Home()
        self._servers: dict[str, Server] = {}
        self._failures: dict[str, EngineFailed | EngineMissing] = {}
        self._locks = {name: threading.Lock() for name in _LAUNCH}

    def postgres(self) -> Server:
        """Return PostgreSQL; the role of its URL owns everything."""
        return self._server("QUARTET_RELATIONAL_URL")

    def mongo(self) -> Server:
        """Return MongoDB, a replica set of one."""
        return self._server("QUARTET_DOCUMENTS_URL")

    def cassandra(self) -> Server:
        """Return Cassandra; the keyspace of its URL does not exist yet."""
        return self._server("QUARTET_FEEDS_URL")

    def sessions(self) -> Server:
        """Return the Redis that keeps what it was told."""
        return self._server("QUARTET_SESSIONS_URL")

    def cache(self) -> Server:
        """Return the Redis that forgets."""
        return self._server("QUARTET_CACHE_URL")

    def start_all(self) -> None:
        """Start all of them at once."""
        with ThreadPoolExecutor(len(_LAUNCH)) as pool:
            list(pool.map(self._server, _LAUNCH))

    def environment(self) -> dict[str, str]:
        """Start all of them and return the variables that lead Quartet to them."""
        self.start_all()
        return {name: self._servers[name].url for name in _LAUNCH}

    def heal(self) -> None:
        """Bring back those that a test killed or froze, for the tests after it."""
        for server in self._servers.values():
            if not server.running:
                server.restart()
            elif server.paused:
                server.resume()

    def close(self) -> None:
        """Stop those that run and remove their data."""
        for server in self._servers.values():
            server.discard()
        self.home.close()

    def _server(self, name: str) -> Server:
        with self._locks[name]:
            if name in self._failures:
                raise self._failures[name]
            if name not in self._servers:
                self._servers[name] = self._launch(name)
            return self._servers[name]

    def _launch(self, name: str) -> Server:
        try:
            return _LAUNCH[name](self.home)
        except (EngineFailed, EngineMissing) as failure:
            # The next test that asks shall not wait for it again.
            self._failures[name] = failure
            raise


_LAUNCH: dict[str, Callable[[Home], Server]] = {
    "QUARTET_RELATIONAL_URL": postgres.launch,
    "QUARTET_DOCUMENTS_URL": mongo.launch,
    "QUARTET_FEEDS_URL": cassandra.launch,
    "QUARTET_SESSIONS_URL": redis.launch_sessions,
    "QUARTET_CACHE_URL": redis.launch_cache,
}
