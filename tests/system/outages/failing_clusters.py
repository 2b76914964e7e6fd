"""Clusters of four engines that fail again and again: what may fail in each, and how it is repaired."""

import random
from collections.abc import Sequence
from contextlib import closing
from time import monotonic
from typing import Any, Protocol

from tests.engines import Server, mongo, postgres, redis
from tests.engines.answering import works
from tests.engines.cluster_cassandra import opened
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.outages.postgres_pair import PostgresPair, launched
from tests.system.outages.traffic import PATIENCE

KILLS = Server.kill, Server.pause


class FailingCluster(Protocol):
    """A cluster that loses one server at a time."""

    def inject(self, chance: random.Random) -> str:
        """Kill or freeze one server. Returns what was done, for the log."""

    def repair(self, chance: random.Random) -> None:
        """Do what an operator would. Returns when the cluster is complete again."""

    @property
    def servers(self) -> Sequence[Server]:
        """All of them, in the order in which they are ended."""

    def discard(self) -> None:
        for server in self.servers:
            server.discard()


class FailingPostgres(FailingCluster):
    """A primary with a synchronous standby. If the primary fails, the standby is promoted, and the former primary is
    rebuilt as its standby.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pair = launched(home)
        self.url = self._pair.url
        self._failed = self._pair.primary
        self._pair.synchronize()

    @property
    def servers(self) -> list[Server]:
        return [self._pair.standby, self._pair.primary]

    def inject(self, chance: random.Random) -> str:
        self._failed = _chosen(chance, self._pair.primary, self._pair.standby)
        return _inject(self._failed, "the primary" if self._failed is self._pair.primary else "the standby", chance)

    def repair(self, chance: random.Random) -> None:
        if self._failed is self._pair.standby:
            _restore(self._failed)
        else:
            self._fail_over(chance)
        self._pair.await_standby()

    def _fail_over(self, chance: random.Random) -> None:
        former, promoted, url = self._pair
        self._pair.promote()
        if former.paused and chance.random() < 0.5:
            # For a moment there are two primaries.
            former.resume()
            self._pair.await_writable(former)
        postgres.rebuild(self._home, former, promoted)
        self._pair = PostgresPair(promoted, former, url)
        self._pair.synchronize()


class FailingRedis(FailingCluster):
    """A master with a replica, and three Sentinels that promote it."""

    def __init__(self, home: Home) -> None:
        master = redis.launch_sessions(home)
        self._both = [master, redis.launch_replica(home, master)]
        self._sentinels = redis.launch_sentinels(home, master)
        self.url = redis.url_of_sentinels(self._sentinels)
        # When the master failed, and when the pair was complete again.
        self.failovers: list[tuple[float, float]] = []
        self._failed = master
        self._since: float | None = None
        self._await_replica()

    @property
    def servers(self) -> list[Server]:
        return [*self._sentinels, *self._both]

    def inject(self, chance: random.Random) -> str:
        [master] = [server for server in self._both if self._role(server)["role"] == "master"]
        [other] = [server for server in self._both if server is not master]
        self._failed = _chosen(chance, master, other)
        done = _inject(self._failed, "the master" if self._failed is master else "the replica", chance)
        if self._failed is master:
            self._since = monotonic()
            assert wait_until(lambda: self._role(other)["role"] == "master", PATIENCE)
        return done

    def repair(self, chance: random.Random) -> None:
        _restore(self._failed)
        self._await_replica()
        if self._since is not None:
            self.failovers.append((self._since, monotonic()))
            self._since = None

    def may_lose(self, at: float) -> bool:
        """Whether a write acknowledged at this time may be lost: replication is asynchronous, and a former master that
        comes back acknowledges writes until the Sentinels demote it.
        """
        return any(since - 1 < at <= until for since, until in self.failovers)

    def _await_replica(self) -> None:
        def is_complete() -> bool:
            found = [self._role(server) for server in self._both]
            return sorted(one["role"] for one in found) == ["master", "slave"] and all(
                one["master_link_status"] == "up" for one in found if one["role"] == "slave"
            )

        assert wait_until(is_complete, PATIENCE)

    def _role(self, server: Server) -> Any:
        with redis.client(server) as there:
            return there.info("replication")


class FailingMongo(FailingCluster):
    """A replica set of three."""

    def __init__(self, home: Home) -> None:
        self._members = mongo.launch_set(home, 3)
        self.url = self._members[0].url
        self._failed = self._members[0]

    @property
    def servers(self) -> list[Server]:
        return self._members

    def inject(self, chance: random.Random) -> str:
        primary = mongo.primary(self._members)
        self._failed = _chosen(chance, primary, next(server for server in self._members if server is not primary))
        return _inject(self._failed, "the primary" if self._failed is primary else "a secondary", chance)

    def repair(self, chance: random.Random) -> None:
        _restore(self._failed)
        assert wait_until(lambda: mongo.complete(self._members), PATIENCE)


class FailingCassandra(FailingCluster):
    """Three nodes, each with all of the data. They are shared with other tests."""

    def __init__(self, nodes: list[Server]) -> None:
        self._nodes = nodes
        self.url = nodes[0].url
        self._failed = nodes[0]

    @property
    def servers(self) -> list[Server]:
        return self._nodes

    def inject(self, chance: random.Random) -> str:
        self._failed = chance.choice(self._nodes)
        return _inject(self._failed, "a node", chance)

    def repair(self, chance: random.Random) -> None:
        _restore(self._failed)
        with closing(opened(self.url)) as store:
            assert wait_until(lambda: works(store.ping) and store.notes() == [], PATIENCE)

    def discard(self) -> None:
        """Restore the node that is down, if a test has failed between `inject` and `repair`."""
        _restore(self._failed)


def _chosen(chance: random.Random, writer: Server, other: Server) -> Server:
    """Mostly the writer, since more depends on it."""
    return writer if chance.random() < 0.7 else other


def _inject(server: Server, name: str, chance: random.Random) -> str:
    how = chance.choice(KILLS)
    how(server)
    return f"{how.__name__} {name}"


def _restore(server: Server) -> None:
    server.resume()
    if not server.running:
        server.restart()
