"""Sign-ins that Redis has acknowledged and lost in a failover are counted by the process that made them."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from repositories.hot import SessionStore, open_sessions
from repositories.hot.redis.sessions import RedisSessions
from repositories.records.people import Ending
from tests.engines.answering import works
from tests.engines.counted import CountingObserver, counted
from tests.engines.kernel import free_port, wait_until
from tests.engines.redis import client
from tests.engines.test_hot_failover import Pair, added, address, among, has, move, pair
from tests.engines.test_hot_faults import NOW, TIMEOUT

__all__ = ["address", "counted", "pair"]


def test_sign_ins_that_the_replica_has_missed_are_counted_once(
    pair: Pair, address: Path, counted: CountingObserver
) -> None:
    noted: list[Ending] = []

    def process() -> SessionStore:
        return open_sessions(f"unix://{address}", timeout=TIMEOUT, pool=4, endings=among(noted))

    with closing(process()) as store, closing(process()) as other:
        added(store, b"kept")
        assert other.find(b"kept", now=NOW) is not None
        assert wait_until(lambda: has(pair.replica, b"kept"), 20)
        with client(pair.replica) as cut:
            cut.execute_command("REPLICAOF", "127.0.0.1", free_port())
            lost = added(store, b"lost")
            added(store, b"lost too")
            ended = added(store, b"ended")
            assert store.end(ended.account_id, ended.id)
            elsewhere = added(store, b"ended elsewhere")
            now = datetime.now(UTC)
            until = now + timedelta(days=90)
            noted.append(Ending(uuid4(), elsewhere.account_id, elsewhere.id, None, NOW, now, until))
            assert other.end(elsewhere.account_id, elsewhere.id)
            pair.master.kill()
            cut.execute_command("REPLICAOF", "NO", "ONE")
        move(address, pair.replica)
        assert other.find(b"lost", now=NOW) is None
        assert "lost_tail" not in counted.reads, "a process counts only what it wrote itself"
        assert store.find(b"kept", now=NOW) is not None
        assert counted.reads["lost_tail"] == 2
        store.add(lost, b"lost")
        pair.replica.restart()
        with client(pair.replica) as promoted:
            promoted.execute_command("REPLICAOF", "NO", "ONE")
        assert wait_until(lambda: works(lambda: store.find(b"kept", now=NOW)), 20)
        assert counted.reads["lost_tail"] == 2, "a server restarted from its file has lost nothing"


def test_a_sign_in_whose_answer_is_read_after_the_failover_is_counted(
    pair: Pair, address: Path, counted: CountingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that has signed in is so late that another one has reached the promoted replica before."""
    with (
        closing(open_sessions(f"unix://{address}", timeout=TIMEOUT, pool=4, endings=among([]))) as store,
        client(pair.replica) as cut,
    ):
        added(store, b"kept")
        assert wait_until(lambda: has(pair.replica, b"kept"), 20)
        cut.execute_command("REPLICAOF", "127.0.0.1", free_port())
        sent = RedisSessions._run

        def late(self: RedisSessions, *arguments: Any, again: bool) -> Any:
            replies = sent(self, *arguments, again=again)
            pair.master.kill()
            cut.execute_command("REPLICAOF", "NO", "ONE")
            move(address, pair.replica)
            assert store.find(b"kept", now=NOW) is not None
            return replies

        monkeypatch.setattr(RedisSessions, "_run", late)
        added(store, b"late")
        assert counted.reads["lost_tail"] == 1
