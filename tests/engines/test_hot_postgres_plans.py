"""Every statement of hot data uses an index of PostgreSQL, and examines little more than it returns.

Each statement is explained with its values right before it is sent, by an execution that is rolled back.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from repositories.hot import CacheStores, Fill, LiveEvent, Rate, SessionStore, Value
from repositories.hot.streams_port import Position
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.explained import Explained, explained, nodes, rows
from tests.engines.test_hot_postgres_faults import NOW, opened, session

MANY = 5_000
# The number of rows that one statement may examine.
MOST = 60
ADA = UUID(int=7)
KEYS = [f"key {number}" for number in range(5)]
FILLED = f"""
INSERT INTO hot_sessions SELECT decode(md5(n::text), 'hex'), decode(md5((n / 3)::text), 'hex'),
    decode(md5(n::text), 'hex'), '', 1e10 FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_seen SELECT decode(md5(n::text), 'hex'), 'relational', '', 1e10 FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_cache (key, epoch, stamp, record, gone_at, due_at, stored_at, sweep_at)
    SELECT convert_to(n::text, 'UTF8'), 'epoch', '', repeat('x', 500)::bytea, 1e10, 1e10, 0, 10000000000
    FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_epoch VALUES (1, 'epoch');
INSERT INTO hot_limits SELECT decode(md5(n::text), 'hex'), 1e10 FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_streams SELECT decode(md5(n::text), 'hex'), '', 9, 1e10 FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_stream_events SELECT decode(md5((n / 9)::text), 'hex'), n, n::text::bytea, '', ''
    FROM generate_series(1, {MANY}) AS n;
INSERT INTO hot_views SELECT decode(md5(n::text), 'hex'), n % 2, 1 FROM generate_series(1, {MANY}) AS n
"""  # noqa: S608  a number
Hot = tuple[SessionStore, CacheStores]


def of_sessions(hot: Hot) -> None:
    sessions, made, digest = hot[0], session(ADA), b"digest"
    sessions.add(made, digest)
    sessions.note_seen(ADA, {"relational": "1"})
    sessions.find(digest, now=NOW)
    sessions.note_use(made, digest)
    sessions.of_account(ADA, now=NOW)
    sessions.end(ADA, made.id)
    sessions.end_all(ADA, keep=None)


def of_cache(hot: Hot) -> None:
    cache = hot[1].cache
    leases = {
        key: lease
        for key, lease in zip(KEYS, cache.lease(dict.fromkeys(KEYS, b"")), strict=True)
        if type(lease) is bytes
    }
    page = leases.pop(KEYS[0])
    assert len(cache.fill({key: Fill(lease, Value(b"x"), 60) for key, lease in leases.items()})) == len(KEYS) - 1
    stamps = {key: held.stamp for key, held in zip(KEYS, cache.read(KEYS), strict=True) if held}
    assert cache.fill({KEYS[0]: Fill(page, Value(b"x"), 60, parts=stamps)})
    assert cache.whole(KEYS[0])
    cache.extend(KEYS[1:2], b"x", most=9)
    assert cache.whole(KEYS[0]) is None
    cache.release({KEYS[0]: b"lease"})
    cache.drop(KEYS)


def of_cache_sweeping(hot: Hot) -> None:
    cache: Any = hot[1].cache
    cache._sweep()


def of_streams(hot: Hot) -> None:
    streams = hot[1].streams
    at = streams.listen(ADA)
    streams.append([ADA, UUID(int=8)], LiveEvent("key", "post", b""))
    assert streams.since([(ADA, at), (UUID(int=8), Position("", 0))], limit=9)[0].events
    streams.listeners(after=ADA, limit=9)


def of_limits(hot: Hot) -> None:
    for _ in range(2):
        hot[1].limits.take("key", Rate(0.001, 1))


def of_views(hot: Hot) -> None:
    views = hot[1].views
    views.add({ADA: 1})
    views.done(2)


@pytest.fixture(scope="module")
def hot(engines: Shared) -> Iterator[Hot]:
    url = new_database(engines.postgres())
    with ExitStack() as stack:
        made = opened(url, stack, timedelta(seconds=5))
        with psycopg.connect(url, autocommit=True) as own:
            own.execute(FILLED.encode())
            own.execute("VACUUM ANALYZE")
        yield made


@pytest.fixture
def plans(hot: Hot, monkeypatch: pytest.MonkeyPatch) -> list[Explained]:
    return explained(monkeypatch)


@pytest.mark.parametrize(
    "drive", [of_sessions, of_cache, of_cache_sweeping, of_streams, of_limits, of_views], ids=lambda one: one.__name__
)
def test_no_statement_scans_a_whole_table(hot: Hot, plans: list[Explained], drive: Callable[[Hot], None]) -> None:
    drive(hot)
    assert plans
    for sql, plan in plans:
        scans = [node for node in nodes(plan) if "Relation Name" in node and "Scan" in node["Node Type"]]
        assert [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"] == [], sql
        assert [rows(node) for node in scans if rows(node) > MOST] == [], sql
