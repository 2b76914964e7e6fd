"""Hot data on PostgreSQL: which listeners are notified of events, what is logged, and the number of connections."""

from collections.abc import Collection
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.services.live.hub import Hub, LiveLimits
from repositories.hot import open_cache_stores, open_streams
from repositories.hot.postgres import wakes
from repositories.pool_registry import pools
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.engines.test_hot_postgres_faults import NOW, event, opened, session

PATIENT = timedelta(seconds=5)
FOREVER = timedelta(hours=1)


class ReportedAccounts:
    """Records the accounts of which the store reports an event. `any` counts reports that name no accounts."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []
        self.any = 0

    def __call__(self, account_ids: Collection[UUID]) -> None:
        self.ids += account_ids
        self.any += not account_ids


@pytest.fixture
def shared(engines: Shared) -> str:
    return new_database(engines.postgres())


def test_a_listener_is_notified_by_another_process_also_after_a_reconnect(shared: str) -> None:
    reported, ada, bob = ReportedAccounts(), uuid4(), uuid4()
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(closing(open_streams(shared, timeout=PATIENT, pool=2))) for _ in range(2))
        mine.migrate()
        mine.listen(ada)
        assert mine.watch(reported)
        assert wait_until(lambda: reported.any == 1, 10)
        theirs.append([ada, bob], event("one"))
        assert wait_until(lambda: reported.ids == [ada], 10)
        with psycopg.connect(shared, autocommit=True) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' "
                "AND datname = current_database()"
            )
        # Reports without accounts (any may have an event) come while it does not listen, and when it listens again.
        assert wait_until(lambda: reported.any >= 3, 10)
        theirs.append([ada], event("two"))
        assert wait_until(lambda: reported.ids == [ada, ada], 10)


def test_many_accounts_are_split_over_several_notifications(shared: str) -> None:
    reported, people = ReportedAccounts(), [uuid4() for _ in range(210)]
    with closing(open_streams(shared, timeout=PATIENT, pool=2)) as streams:
        streams.migrate()
        for one in people:
            streams.listen(one)
        streams.watch(reported)
        assert wait_until(lambda: reported.any == 1, 10)
        streams.append(people, event())
        assert wait_until(lambda: len(reported.ids) == len(people), 10)
        assert set(reported.ids) == set(people)


def test_an_event_is_kept_when_no_notification_can_be_sent(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses the overlong name of the channel, as it refuses all notifications when its queue is full."""
    monkeypatch.setattr(wakes, "_CHANNEL", "x" * 64)
    ada = uuid4()
    with closing(open_streams(shared, timeout=PATIENT, pool=2)) as streams:
        streams.migrate()
        start = streams.listen(ada)
        streams.append([ada], event())
        [delta] = streams.since([(ada, start)], limit=9)
        assert delta.events == (event(),)


def test_behind_a_pooler_there_are_no_notifications(shared: str) -> None:
    with closing(open_streams(f"{shared}?pool_mode=transaction", timeout=PATIENT, pool=2)) as streams:
        streams.migrate()
        ada = uuid4()
        assert not streams.watch(ReportedAccounts())
        start = streams.listen(ada)
        streams.append([ada], event())
        [delta] = streams.since([(ada, start)], limit=9)
        assert delta.events == (event(),)


def test_a_hub_delivers_an_event_when_notified(shared: str) -> None:
    """Without a notification the hub would look for events only every hour."""
    limits = LiveLimits(2, poll=FOREVER, quiet=FOREVER, check=FOREVER)
    with ExitStack() as stack:
        sessions, stores = opened(shared, stack, PATIENT)
        hub = Hub(stores.streams, sessions, lambda: NOW, limits)
        stack.callback(hub.close)
        made, digest = session(), uuid4().bytes
        sessions.add(made, digest)
        connection = hub.open(made, digest, None)
        stores.streams.append([made.account_id], event("one"))
        batch = connection.take(timedelta(seconds=20))
        assert batch
        assert [item.event for item in batch] == [event("one")]
        hub.release(connection)


def test_only_durable_tables_are_logged_and_only_sessions_commit_synchronously(shared: str) -> None:
    with ExitStack() as stack:
        sessions, stores = opened(shared, stack, PATIENT)
        own: list[Any] = [sessions, stores.cache]
        kept = [store._database.rows("SHOW synchronous_commit") for store in own]
        assert kept == [[("on",)], [("off",)]]
        with psycopg.connect(shared) as there:
            query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'hot%' AND relpersistence = 'p'"
            assert {name for (name,) in there.execute(query)} == {"hot_sessions", "hot_seen", "hot_view_batch"}


def test_the_stores_beside_the_cache_have_one_pool(shared: str) -> None:
    with ExitStack() as stack:
        stores = open_cache_stores(shared, timeout=PATIENT, pool=7, viewers=2)
        for store in stores:
            stack.callback(store.close)
        [pool] = [pool for pool in pools() if pool.store == "cache" and pool.size == 6]
        assert pool.beside == 1
