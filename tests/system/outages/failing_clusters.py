"""Clusters of four engines that fail again and again: what may fail in each, and how it is repaired."""

import random
from contextlib import closing
from time import monotonic
from typing import Any, Protocol

import psycopg

from tests.engines import Server, mongo, postgres, redis
from tests.engines.answering import works
from tests.engines.cluster_cassandra import opened
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.outages.traffic import PATIENCE

KILLS = Server.kill, Server.pause


class FailingCluster(Protocol):
    """A cluster that loses one server at a time."""

    def inject(self, chance: random.Random) -> str:
        """Kill or freeze one server. Returns what was done, for the log."""

    def repair(self, chance: random.Random) -> None:
        """Do what an operator would. Returns when the cluster is complete again."""

    def discard(self) -> None:
        """End all servers."""


class PostgresPair:
    """A primary with a synchronous standby. If the primary fails, the standby is promoted, and the former primary is
    rebuilt as its standby.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.primary = postgres.launch(home)
        self.standby = postgres.launch_standby(home, self.primary)
        hosts = ",".join(server.url.split("@")[1].removesuffix("/quartet") for server in self.servers)
        self.url = f"postgresql://quartet@{hosts}/quartet"
        self._failed = self.primary
        self._synchronize()

    @property
    def servers(self) -> list[Server]:
        return [self.primary, self.standby]

    def inject(self, chance: random.Random) -> str:
        self._failed = _chosen(chance, self.primary, self.standby)
        return _inject(self._failed, "the primary" if self._failed is self.primary else "the standby", chance)

    def repair(self, chance: random.Random) -> None:
        if self._failed is self.standby:
            _restore(self.standby)
        else:
            self._fail_over(chance)
        caught_up = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_flush_lsn()"
        assert wait_until(lambda: self._on(self.primary, caught_up) == (1,), PATIENCE)

    def discard(self) -> None:
        for server in self.servers:
            server.discard()

    def _fail_over(self, chance: random.Random) -> None:
        former, self.primary = self.primary, self.standby
        self.standby = former
        postgres.promote(self.primary)
        assert wait_until(lambda: self._on(self.primary, "SELECT pg_is_in_recovery()") == (False,), PATIENCE)
        if former.paused and chance.random() < 0.5:
            # For a moment there are two primaries.
            former.resume()
            assert wait_until(lambda: self._on(former, "SELECT pg_is_in_recovery()") == (False,), PATIENCE)
        postgres.rebuild(self._home, former, self.primary)
        self._synchronize()

    def _synchronize(self) -> None:
        self._on(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._on(self.primary, "SELECT pg_reload_conf()")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        assert wait_until(lambda: self._on(self.primary, state) == (1,), PATIENCE)

    def _on(self, server: Server, statement: str) -> Any:
        with psycopg.connect(server.url, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchone() if found.description else None


class RedisPair:
    """A master with a replica, and three Sentinels that promote it."""

    def __init__(self, home: Home) -> None:
        master = redis.launch_sessions(home)
        self.servers = [master, redis.launch_replica(home, master)]
        self._sentinels = [redis.launch_sentinel(home, master, quorum=2) for _ in range(3)]
        hosts = ",".join(sentinel.url.split("/")[2] for sentinel in self._sentinels)
        self.url = f"redis+sentinel://{hosts}/main/0"
        # When the master failed, and when the pair was complete again.
        self.failovers: list[tuple[float, float]] = []
        self._failed = master
        self._since: float | None = None
        known = ("num-other-sentinels", "num-slaves")
        with redis.client(self._sentinels[0]) as there:
            assert wait_until(lambda: [there.sentinel_master("main")[name] for name in known] == [2, 1], PATIENCE)
        self._await_replica()

    def inject(self, chance: random.Random) -> str:
        [master] = [server for server in self.servers if self._role(server)["role"] == "master"]
        [other] = [server for server in self.servers if server is not master]
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

    def discard(self) -> None:
        for server in (*self._sentinels, *self.servers):
            server.discard()

    def _await_replica(self) -> None:
        def is_complete() -> bool:
            found = [self._role(server) for server in self.servers]
            return sorted(one["role"] for one in found) == ["master", "slave"] and all(
                one["master_link_status"] == "up" for one in found if one["role"] == "slave"
            )

        assert wait_until(is_complete, PATIENCE)

    def _role(self, server: Server) -> Any:
        with redis.client(server) as there:
            return there.info("replication")


class MongoSet:
    """A replica set of three."""

    def __init__(self, home: Home) -> None:
        self.servers = mongo.launch_set(home, 3)
        self.url = self.servers[0].url
        self._failed = self.servers[0]

    def inject(self, chance: random.Random) -> str:
        primary = mongo.primary(self.servers)
        self._failed = _chosen(chance, primary, next(server for server in self.servers if server is not primary))
        return _inject(self._failed, "the primary" if self._failed is primary else "a secondary", chance)

    def repair(self, chance: random.Random) -> None:
        _restore(self._failed)
        assert wait_until(lambda: mongo.complete(self.servers), PATIENCE)

    def discard(self) -> None:
        for server in self.servers:
            server.discard()


class CassandraRing:
    """Three nodes, each with all of the data. They are shared with other tests."""

    def __init__(self, nodes: list[Server]) -> None:
        self.servers = nodes
        self.url = nodes[0].url
        self._failed = nodes[0]

    def inject(self, chance: random.Random) -> str:
        self._failed = chance.choice(self.servers)
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
