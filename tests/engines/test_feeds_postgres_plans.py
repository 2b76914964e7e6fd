"""Every statement of feeds on PostgreSQL uses an index, and reads no more partitions than needed.

Statements get generic plans, as on the adapter's connections, over partitions of 90 days.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from repositories.feeds.activity_id import moment_id
from repositories.feeds.audit_port import StoredEntry
from repositories.feeds.postgres.store import PostgresFeeds
from repositories.feeds.retention import now
from repositories.postgres.database import PostgresWork, native
from repositories.postgres.explaining import numbered
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.feeds_calls import post
from tests.system.consistency import ASKS

OWNERS, POSTS = 150, 120
SPAN = timedelta(days=88)
AT = now()
Statement = tuple[str, Any]


class Data:
    """The rows: each owner has the same posts and activities, one in 18 hours."""

    def __init__(self) -> None:
        self.owners = [uuid4() for _ in range(OWNERS)]
        self.author = uuid4()
        self.posts = [PostRef(post(SPAN / POSTS * number).post_id, self.author) for number in range(POSTS)]
        self.watermark = self.posts[POSTS // 20].post_id
        self.acts = [Activity("like", uuid4(), uuid4(), now() - SPAN / POSTS * number) for number in range(POSTS)]

    @property
    def owner(self) -> UUID:
        return self.owners[OWNERS // 2]

    @property
    def entry(self) -> StoredEntry:
        return StoredEntry(self.owner, 0, self.posts[3].post_id, self.author, in_place=True)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


@pytest.fixture(scope="module")
def url(engines: Shared) -> str:
    return new_database(engines.postgres())


@pytest.fixture(scope="module")
def feeds(url: str, data: Data) -> Iterator[PostgresFeeds]:
    feeds = PostgresFeeds(url, timeout=timedelta(seconds=30), pool=1, retention=timedelta(days=90))
    feeds.migrate()
    feeds.load(
        [PostRef(one.post_id, owner) for one in data.posts for owner in data.owners],
        [(owner, one) for one in data.posts for owner in data.owners],
    )
    with feeds._database.write() as work:
        work.execute(
            "INSERT INTO feeds_notifications SELECT owner, post, 'like', post, author, 0, 0, '', post, written, removed"
            " FROM feeds_home"
        )
        work.execute("INSERT INTO feeds_read SELECT DISTINCT ON (owner) owner, post FROM feeds_home")
        work.execute("INSERT INTO feeds_trimmed SELECT owner, 0 FROM feeds_read")
        work.execute("ANALYZE")
    yield feeds
    feeds.close()


# Each read, and how many partitions of a table its statements may read.
READS: dict[str, tuple[Callable[[PostgresFeeds, Data], object], int]] = {
    "feeds.home_page": (lambda feeds, d: feeds.home_page(d.owner, limit=10), 3),
    "feeds.home_page, its middle": (lambda feeds, d: feeds.home_page(d.owner, before=d.posts[60].post_id, limit=10), 2),
    "feeds.home_page, upwards": (lambda feeds, d: feeds.home_page(d.owner, after=d.posts[60].post_id, limit=10), 2),
    "feeds.home_page, low watermark": (
        lambda feeds, d: feeds.home_page(d.owner, limit=100, low_watermark=d.watermark),
        3,
    ),
    "feeds.home_page, nobody's": (lambda feeds, _: feeds.home_page(uuid4(), limit=20), 11),
    "feeds.entries": (lambda feeds, d: list(feeds.entries(d.owner)), 11),
    "feeds.author_page": (lambda feeds, d: feeds.author_page(d.owners[0], limit=20), 1),
    "feeds.author_page, upwards": (
        lambda feeds, d: feeds.author_page(d.owners[0], after=d.posts[60].post_id, limit=20),
        1,
    ),
    "feeds.audit.home": (lambda feeds, d: list(feeds.audit.home(d.owner)), 11),
    "feeds.audit.author": (lambda feeds, d: list(feeds.audit.author(d.owners[0])), 1),
    "feeds.notifications.page": (lambda feeds, d: feeds.notifications.page(d.owner, limit=10), 3),
    "feeds.notifications.marker": (lambda feeds, d: feeds.notifications.marker(d.owner), 1),
    "feeds.notifications.lowest_after": (
        lambda feeds, d: feeds.notifications.lowest_after(d.owner, d.posts[2].post_id),
        11,
    ),
}
WRITES: dict[str, tuple[Callable[[PostgresFeeds, Data], object], int]] = {
    "feeds.add_to_author": (lambda feeds, d: feeds.add_to_author(d.posts[0], AT), 1),
    "feeds.remove_from_author": (lambda feeds, d: feeds.remove_from_author(d.posts[0], AT), 1),
    "feeds.push": (lambda feeds, d: feeds.push(d.posts[0], d.owners, AT), 1),
    "feeds.fill": (lambda feeds, d: feeds.fill(d.owner, d.posts, AT), 1),
    "feeds.load": (lambda feeds, d: feeds.load(d.posts, [(d.owner, d.posts[0])]), 1),
    "feeds.retract": (lambda feeds, d: feeds.retract(d.posts[0], [d.owner], AT), 1),
    "feeds.purge": (lambda feeds, d: feeds.purge(d.owner, d.author, AT), 11),
    "feeds.trim": (lambda feeds, d: feeds.trim(d.owner, AT), 11),
    "feeds.audit.restore_home": (lambda feeds, d: feeds.audit.restore_home(d.owner, d.posts[:3], AT), 1),
    "feeds.audit.restore_author": (lambda feeds, d: feeds.audit.restore_author(d.posts[:3], AT), 1),
    "feeds.audit.remove_home": (lambda feeds, d: feeds.audit.remove_home([d.entry], AT), 1),
    "feeds.audit.remove_author": (lambda feeds, d: feeds.audit.remove_author([d.entry], AT), 1),
    "feeds.notifications.note": (
        lambda feeds, d: feeds.notifications.note(d.owner, d.acts[0], AT, moment_id(AT)),
        1,
    ),
    "feeds.notifications.withdraw": (lambda feeds, d: feeds.notifications.withdraw(d.owner, d.acts[0], AT), 1),
    "feeds.notifications.mark": (lambda feeds, d: feeds.notifications.mark(d.owner, moment_id(AT)), 1),
}


@pytest.fixture
def sent(feeds: PostgresFeeds, monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """Collect the statements that are sent, except those that look up partitions. Their changes are rolled back."""
    found: list[Statement] = []
    execute = PostgresWork.execute

    def recorded(self: PostgresWork, sql: str, parameters: Any = (), /) -> psycopg.Cursor:
        if "pg_inherits" not in sql:
            found.append((sql, parameters))
        return execute(self, sql, parameters)

    monkeypatch.setattr(PostgresWork, "execute", recorded)
    return found


def test_every_feeds_method_is_covered() -> None:
    driven = {name.partition(",")[0] for name in (*READS, *WRITES)}
    assert driven == {method for method, asks in ASKS.items() if method.startswith("feeds.") and asks}


@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_statements_use_indexes_and_few_partitions(
    feeds: PostgresFeeds, url: str, data: Data, sent: list[Statement], name: str
) -> None:
    drive, most = (READS | WRITES)[name]
    drive(feeds, data)
    assert sent
    for sql, parameters in sent:
        nodes = list(_nodes(_plan(url, sql, parameters)))
        # A scan without rows and without a condition is that of the empty partition which was created ahead.
        scans = [node for node in nodes if "Relation Name" in node and (_condition(node) or _rows_read(node))]
        assert [node["Relation Name"] for node in scans if not re.search("owner|author", _condition(node))] == []
        looked_into = {node["Relation Name"] for node in scans if node["Actual Loops"]} - {"feeds_trimmed"}
        assert len(looked_into) <= most


def test_the_same_statement_is_planned_once(feeds: PostgresFeeds, data: Data) -> None:
    """The plan is generic. The isolation and the durability are those in docs/consistency.md."""
    for owner in data.owners[:9]:
        feeds.home_page(owner, limit=20)
    rows = feeds._database.rows(
        "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
        " WHERE statement LIKE 'SELECT post, author FROM feeds_home%DESC%'"
    )
    generic, custom = rows[0]
    assert generic >= 9
    assert custom == 0
    settings = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit')"
    assert feeds._database.rows(settings) == [("read committed", "on")]


def _plan(url: str, sql: str, parameters: Any) -> dict[str, Any]:
    """Explain the execution of a statement with its generic plan."""
    marked = native(sql).decode()
    names = dict.fromkeys(re.findall(r"%\((\w+)\)", marked))
    values = [parameters[name] for name in names] if names else list(parameters)
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as own:
        own.execute("SET plan_cache_mode = force_generic_plan")
        own.execute("SET random_page_cost = 1.1")
        own.execute(f"PREPARE asked AS {numbered(marked)}".encode())
        marks = ", ".join(["%s"] * len(values))
        row = own.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked({marks})".encode(), values).fetchone()
        own.rollback()
    assert row
    return row[0][0]["Plan"]  # type: ignore[no-any-return]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def _rows_read(node: dict[str, Any]) -> float:
    return float(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))


def _condition(node: dict[str, Any]) -> str:
    """The index condition of a node, which for a bitmap heap scan is its recheck condition."""
    condition = node.get("Index Cond") or node.get("Recheck Cond")
    return str(condition or "")
