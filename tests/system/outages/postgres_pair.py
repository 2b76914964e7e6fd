"""A PostgreSQL primary and its standby, for tests that make one of them fail."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg

from tests.engines import Server, postgres
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.outages.traffic import PATIENCE


class PostgresPair(NamedTuple):
    """Two servers, and the URL that names both, the primary first."""

    primary: Server
    standby: Server
    url: str

    def on(self, server: Server, statement: str) -> Any:
        with psycopg.connect(server.url, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchone() if found.description else None

    def synchronize(self) -> None:
        """Make replication synchronous: from now on acknowledged writes are also on the standby."""
        self.on(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.on(self.primary, "SELECT pg_reload_conf()")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        assert wait_until(lambda: self.on(self.primary, state) == (1,), PATIENCE)

    def await_standby(self) -> None:
        """Wait until the standby has replayed everything."""
        caught_up = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_flush_lsn()"
        assert wait_until(lambda: self.on(self.primary, caught_up) == (1,), PATIENCE)

    def promote(self) -> None:
        """Promote the standby, and wait until it takes writes."""
        postgres.promote(self.standby)
        self.await_writable(self.standby)

    def await_writable(self, server: Server) -> None:
        assert wait_until(lambda: self.on(server, "SELECT pg_is_in_recovery()") == (False,), PATIENCE)

    def discard(self) -> None:
        self.standby.discard()
        self.primary.discard()


def launched(home: Home) -> PostgresPair:
    primary = postgres.launch(home)
    try:
        standby = postgres.launch_standby(home, primary)
    except BaseException:
        primary.discard()
        raise
    port = urlsplit(standby.url).port
    return PostgresPair(primary, standby, f"{primary.url.removesuffix('/quartet')},127.0.0.1:{port}/quartet")
