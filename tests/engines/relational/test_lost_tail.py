"""Writes lost in a failover of PostgreSQL are detected by the process that made them, and when their clients return."""

from contextlib import closing
from urllib.parse import urlsplit

import psycopg

from repositories import read_your_writes
from repositories.errors import Unavailable
from repositories.records.graph import Follow
from repositories.relational import RelationalStore, open_store
from tests.contracts.relational_store import NOW, new_database, opened, register
from tests.engines import Engines, Server, postgres
from tests.engines.counted import CountingObserver, counted
from tests.engines.kernel import wait_until
from tests.engines.relational.calls import POOL, TIMEOUT
from tests.engines.relational.test_replicas import follow, followed

__all__ = ["counted"]


def test_a_write_lost_in_a_failover_is_counted_once(
    own_engines: Engines, server: Server, counted: CountingObserver
) -> None:
    """Replication is cut, the primary continues to write, and the standby takes over without these writes."""
    standby = postgres.launch_standby(own_engines.home, server)
    url = new_database(server)
    host = f"127.0.0.1:{urlsplit(standby.url).port}"
    promoted = urlsplit(url)._replace(netloc=f"quartet@{host}").geturl()
    try:
        with opened(url) as store:
            store.migrate()
        with closing(open_store(url, timeout=TIMEOUT, pool=POOL, replicas=host)) as store:
            one, other, third = register(store, 3)
            kept = follow(store, one, other)
            assert wait_until(lambda: followed(store, one, kept) == [other] and "replica" in counted.reads, 20)
            with psycopg.connect(standby.url, autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
                admin.execute("SELECT pg_reload_conf()")
                gone = "SELECT count(*) FROM pg_stat_wal_receiver"
                assert wait_until(lambda: admin.execute(gone).fetchone() == (0,), 20)
            lost = follow(store, one, third)
        # A process without replicas continues with the old primary until it notices the new one.
        counted.reads.clear()
        with opened(url.replace("/t", f",{host}/t", 1)) as plain:
            answered = [works(plain) for _ in range(3)]
            assert answered == [True] * 3
            postgres.promote(standby)

            def has_heard() -> bool:
                answered.append(works(plain))
                return answered[-1] and "lost_tail" in counted.reads

            assert wait_until(has_heard, 20)
            assert works(plain)
        assert counted.reads == {"lost_tail": sum(answered) - 1}
        counted.reads.clear()
        with closing(open_store(url, timeout=TIMEOUT, pool=POOL, replicas=host)) as store:
            # The URL still names the old primary, and the new one has written more.
            with psycopg.connect(standby.url, autocommit=True) as admin:
                admin.execute("CREATE TABLE beside AS SELECT generate_series(1, 100000)")
            position = follow(store, third, one)
            assert wait_until(lambda: followed(store, third, position) == [one] and store.notes() != [], 20)
            assert not any(replica.serves for replica in store.replicas())
        with closing(open_store(promoted, timeout=TIMEOUT, pool=POOL, replicas=host)) as store:
            assert wait_until(lambda: store.notes() == [], 20)
            assert followed(store, one, kept) == [other]
            assert "lost_tail" not in counted.reads
            with read_your_writes.primary():
                mine = read_your_writes.begin(lost, reads=True)
                assert store.likes.beside_follows(one, [], [other, third])[1] == {other}
            assert counted.reads["lost_tail"] == 1
            assert mine.wrote
            assert followed(store, one, mine.positions) == [other]
            assert counted.reads["lost_tail"] == 1
            # A client that writes first notices it too.
            with read_your_writes.primary():
                read_your_writes.begin(lost, reads=False)
                with store.transaction() as unit:
                    unit.graph.follow(Follow(one, third, NOW))
            assert counted.reads["lost_tail"] == 2
    finally:
        standby.discard()


def works(store: RelationalStore) -> bool:
    try:
        register(store, 1)
    except Unavailable:
        return False
    return True
