"""Compares the consistency that feeds and hot stores request of Cassandra and Redis with docs/consistency.toml.

The operations of the relational and the documents port are compared in tests/system/plans.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session as CassandraSession

from app.ids import uuid7
from repositories.feeds import FeedStore, open_store
from repositories.hot import (
    Fill,
    LiveEvent,
    Rate,
    Value,
    open_cache,
    open_limits,
    open_sessions,
    open_streams,
    open_views,
)
from repositories.hot.redis.wire import Wire
from repositories.hot.streams_port import Position
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from repositories.records.people import Session
from tests.engines import Shared
from tests.system.consistency import ASKS, OTHER_METHODS
from tests.system.real import KEYSPACE, real_urls

pytestmark = pytest.mark.engines
TIMEOUT = timedelta(seconds=30)
NOW = datetime.now(UTC)
ID, OTHER = (uuid7(NOW, secrets.randbits(62)) for _ in range(2))
REF = PostRef(ID, OTHER)
DONE = Activity("like", ID, OTHER, NOW)
SESSION = Session(ID, OTHER, None, NOW, NOW + timedelta(days=1))
Drives = dict[str, Callable[[], Any]]


def of_feeds(feeds: FeedStore) -> Drives:
    noted, audit = feeds.notifications, feeds.audit
    return {
        "feeds.add_to_author": lambda: feeds.add_to_author(REF, NOW),
        "feeds.author_page": lambda: feeds.author_page(OTHER, limit=5),
        "feeds.load": lambda: feeds.load([REF], [(ID, REF)]),
        "feeds.push": lambda: feeds.push(REF, [ID], NOW),
        "feeds.fill": lambda: feeds.fill(ID, [REF], NOW),
        "feeds.home_page": lambda: feeds.home_page(ID, limit=5),
        "feeds.entries": lambda: list(feeds.entries(ID)),
        "feeds.notifications.note": lambda: noted.note(ID, DONE, NOW),
        "feeds.notifications.page": lambda: noted.page(ID, limit=5),
        "feeds.notifications.mark": lambda: noted.mark(ID, OTHER),
        "feeds.notifications.marker": lambda: noted.marker(ID),
        "feeds.notifications.lowest_after": lambda: noted.lowest_after(ID, OTHER),
        "feeds.notifications.withdraw": lambda: noted.withdraw(ID, DONE, NOW),
        "feeds.audit.author": lambda: list(audit.author(OTHER)),
        "feeds.audit.home": lambda: list(audit.home(ID)),
        "feeds.audit.restore_author": lambda: audit.restore_author([REF], NOW),
        "feeds.audit.restore_home": lambda: audit.restore_home(ID, [REF], NOW),
        "feeds.audit.remove_author": lambda: audit.remove_author(list(audit.author(OTHER)), NOW),
        "feeds.audit.remove_home": lambda: audit.remove_home(list(audit.home(ID)), NOW),
        "feeds.retract": lambda: feeds.retract(REF, [ID], NOW),
        "feeds.purge": lambda: feeds.purge(ID, OTHER, NOW),
        "feeds.trim": lambda: feeds.trim(ID, NOW),
        "feeds.remove_from_author": lambda: feeds.remove_from_author(REF, NOW),
    }


@pytest.fixture(scope="module")
def drives(engines: Shared) -> Iterator[Drives]:
    urls = real_urls(engines, "consistency", ("feeds", "sessions", "cache"), keyspace=KEYSPACE)
    options: dict[str, Any] = {"timeout": TIMEOUT, "pool": 2}
    with (
        closing(open_store(urls["feeds_url"], timeout=TIMEOUT, pool=1, retention=timedelta(days=90))) as feeds,
        closing(open_sessions(urls["sessions_url"], **options)) as sessions,
        closing(open_cache(urls["cache_url"], **options)) as cache,
        closing(open_streams(urls["cache_url"], **options)) as streams,
        closing(open_limits(urls["cache_url"], **options)) as limits,
        closing(open_views(urls["cache_url"], **options)) as views,
    ):
        feeds.migrate()
        # Use it once, since the first use prepares statements and compares the tables.
        feeds.author_page(OTHER, limit=1)
        key = f"consistency:{ID}"

        def fill() -> None:
            (lease,) = cache.lease({key: b""})
            assert isinstance(lease, bytes)
            cache.fill({key: Fill(lease, Value(b"x"), 60.0)})

        yield of_feeds(feeds) | {
            "sessions.add": lambda: sessions.add(SESSION, b"d" * 32),
            "sessions.find": lambda: sessions.find(b"d" * 32, now=NOW),
            "sessions.note_use": lambda: sessions.note_use(SESSION, b"d" * 32),
            "sessions.note_seen": lambda: sessions.note_seen(OTHER, {"relational": "1"}),
            "sessions.of_account": lambda: sessions.of_account(OTHER, now=NOW),
            "sessions.end": lambda: sessions.end(OTHER, ID),
            "sessions.end_all": lambda: sessions.end_all(OTHER, keep=None),
            "cache.read": lambda: cache.read([key]),
            "cache.lease": lambda: cache.lease({f"{key}:leased": b""}),
            "cache.fill": fill,
            "cache.whole": lambda: cache.whole(key, exact=True),
            "cache.extend": lambda: cache.extend([key], b"x", most=1),
            "cache.release": lambda: cache.release({f"{key}:leased": b"l"}),
            "cache.drop": lambda: cache.drop([key]),
            "cache.void": cache.void,
            "streams.listen": lambda: streams.listen(ID),
            "streams.append": lambda: streams.append([ID], LiveEvent("k", "post", b"{}")),
            "streams.listeners": lambda: streams.listeners(after=None, limit=5),
            "streams.since": lambda: streams.since([(ID, Position("", 0))], limit=5),
            "limits.take": lambda: limits.take(key, Rate(1.0, 1)),
            "views.add": lambda: views.add({ID: 1}),
            "views.take": lambda: views.take(5),
            "views.done": lambda: views.done(0),
        }


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set that collects the consistency levels sent from now on."""
    found: set[str] = set()
    execute, talk = CassandraSession.execute_async, Wire.talk

    def executed(self: Any, *args: Any, **options: Any) -> Any:
        future = execute(self, *args, **options)
        found.add(ConsistencyLevel.value_to_name[future.message.consistency_level])
        assert future.message.serial_consistency_level is None
        return future

    def talked(self: Wire, commands: Any, deadline: float) -> list[Any]:
        replies = talk(self, commands, deadline)
        (role, *_), (_, kept), (_, flushed) = talk(
            self,
            [("ROLE",), ("CONFIG", "GET", "appendonly"), ("CONFIG", "GET", "appendfsync")],
            time.monotonic() + TIMEOUT.total_seconds(),
        )
        files = "in memory" if kept == b"no" else "each write in its file" if flushed == b"always" else "its file"
        found.add(f"the {role.decode()}, {files}{', WAIT' if ('WAIT',) in [one[:1] for one in commands] else ''}")
        return replies

    monkeypatch.setattr(CassandraSession, "execute_async", executed)
    monkeypatch.setattr(Wire, "talk", talked)
    return found


def test_every_operation_requests_the_consistency_in_its_row(drives: Drives, levels: set[str]) -> None:
    assert sorted(drives) == sorted(method for method in OTHER_METHODS if ASKS[method]), "drive each operation"
    found = {}
    for method, drive in drives.items():
        levels.clear()
        drive()
        found[method] = set(levels)
    assert found == {method: ASKS[method] for method in drives}
