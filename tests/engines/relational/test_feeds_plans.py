"""The statements on readers and fan-outs use indexes, over more than 100,000 follows.

Each statement is planned twice: for its values (custom plan), and for any values (generic plan), as PostgreSQL plans a
prepared statement that was used a few times.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from repositories.records.feeds import Fanout, FanoutState
from repositories.records.graph import Follow
from repositories.relational import RelationalStore, Transaction
from repositories.relational.postgres.store import PostgresRelational
from tests.contracts.relational_store import NOW, account, login, opened
from tests.engines.relational.filled import fill
from tests.engines.relational.test_plans import Recorder, Statement

# In CI, `tests/system/plans` checks every method of the port over other rows.
pytestmark = pytest.mark.proof
PEOPLE = 10_000
FOLLOWS = 10
PULLED = 300
FANOUTS = 3_000
SECOND = timedelta(seconds=1)
_STATES: tuple[FanoutState, ...] = ("done", "done", "done", "running", "pulled")


class Data:
    """The rows: `people[0]` follows everybody, and everybody follows `people[1]`."""

    def __init__(self) -> None:
        self.people = sorted(uuid4() for _ in range(PEOPLE))
        self.fanouts = [self._fanout(number) for number in range(FANOUTS)]

    def fill(self, unit: Transaction) -> None:
        accounts = [account(id=one, handle=one.hex) for one in self.people]
        unit.bulk.accounts([(one, login(one)) for one in accounts], seen_at=NOW)
        unit.bulk.follows(list(self._follows()))
        for fanout in self.fanouts:
            unit.fanouts.save(fanout)
        for author in self.people[1 : 1 + PULLED]:
            unit.fanouts.pull(author, at=NOW, reason="shed")
        unit.feed_activity.sleep(seen_before=NOW + SECOND, limit=PEOPLE // 10)
        unit.graph.follow(Follow(self.people[5], self.people[9], NOW))

    def _follows(self) -> Iterator[Follow]:
        for number, one in enumerate(self.people):
            for step in range(20, 20 + FOLLOWS):
                yield Follow(one, self.people[(number + step) % PEOPLE], NOW)
            yield Follow(self.people[0], one, NOW)
            yield Follow(one, self.people[1], NOW)

    def _fanout(self, number: int) -> Fanout:
        author, state = self.people[number % PEOPLE], _STATES[number % len(_STATES)]
        at = NOW + SECOND * number
        ended = at if state == "done" else None
        return Fanout(uuid4(), author, at, at, state, "all", None, 9, 0, ((1, 1),), ended, "t")


@pytest.fixture(scope="module")
def data(url: str) -> Data:
    made = Data()
    fill(url, made.fill)
    return made


@pytest.fixture(scope="module")
def store(url: str, data: Data) -> Iterator[RelationalStore]:
    with opened(url) as store:
        yield store


def audience(store: RelationalStore, author: UUID, after: UUID | None = None, **stage: Any) -> list[UUID]:
    return store.fanouts.audience(author, after=after, limit=500, **stage)


RECENT: dict[str, Any] = {"stage": "recent", "recent": NOW, "begun": NOW + SECOND}
REST: dict[str, Any] = {"stage": "rest", "recent": NOW, "begun": NOW + SECOND}
READS: dict[str, Callable[[RelationalStore, Data], object]] = {
    "reader state": lambda store, d: store.feed_activity.reader_state(d.people[5]),
    "reader state of one who follows many": lambda store, d: store.feed_activity.reader_state(d.people[0]),
    "situation": lambda store, d: store.fanouts.situation(d.fanouts[0].post_id, d.people[1]),
    "progress": lambda store, d: store.fanouts.progress(d.fanouts[0].post_id),
    "audience": lambda store, d: audience(store, d.people[1]),
    "audience after": lambda store, d: audience(store, d.people[1], d.people[5000]),
    "audience of few": lambda store, d: audience(store, d.people[9]),
    "recent": lambda store, d: audience(store, d.people[1], **RECENT),
    "recent after": lambda store, d: audience(store, d.people[1], d.people[5000], **RECENT),
    "nobody recent": lambda store, d: audience(store, d.people[1], stage="recent", recent=NOW + SECOND, begun=NOW),
    "rest": lambda store, d: audience(store, d.people[1], **REST),
    "rest after": lambda store, d: audience(store, d.people[1], d.people[5000], **REST),
    "audience_size": lambda store, d: store.fanouts.audience_size(d.people[9]),
    "postponed": lambda store, d: store.fanouts.postponed(d.people[4], limit=20),
    "lag": lambda store, _: store.fanouts.lag(),
    "pulled_authors": lambda store, d: store.fanouts.pulled_authors(after=d.people[1], limit=20),
    "ids": lambda store, _: store.accounts.ids(after=None, limit=500),
    "ids after": lambda store, d: store.accounts.ids(after=d.people[5000], limit=500),
}
WRITES: dict[str, Callable[[Transaction, Data], object]] = {
    "seen": lambda unit, d: unit.feed_activity.seen(d.people[8000], NOW + SECOND),
    "wake": lambda unit, d: unit.feed_activity.wake(d.people[0], NOW + SECOND),
    "rebuild": lambda unit, d: unit.feed_activity.rebuild(d.people[8000], NOW),
    "finish": lambda unit, d: unit.feed_activity.finish(d.people[8000], generation=1, low_watermark=d.people[0]),
    "raise_low_watermark": lambda unit, d: unit.feed_activity.raise_low_watermark(d.people[8000], d.people[0]),
    "sleep": lambda unit, _: unit.feed_activity.sleep(seen_before=NOW + SECOND, limit=100),
    "save": lambda unit, d: unit.fanouts.save(d.fanouts[4]),
    "postpone": lambda unit, d: unit.fanouts.postpone(d.fanouts[1]),
    "begin_return": lambda unit, d: unit.fanouts.begin_return(d.people[1], NOW),
    "end_pull": lambda unit, d: (
        unit.fanouts.begin_return(d.people[2], NOW),
        unit.fanouts.end_pull(d.people[2], changed_at=NOW),
    ),
    "forget": lambda unit, d: unit.fanouts.forget(d.fanouts[0].post_id),
    "sweep": lambda unit, _: unit.fanouts.sweep(finished_before=NOW + SECOND * 99, limit=20),
}


@pytest.mark.parametrize("name", READS)
def test_reads(store: RelationalStore, url: str, data: Data, name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder:
        READS[name](store, data)
    (statement,) = recorder.statements
    assert _completely_read(url, statement) == []


@pytest.mark.parametrize("name", WRITES)
def test_writes(store: RelationalStore, url: str, data: Data, name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder, store.transaction() as unit:
        WRITES[name](unit, data)
    assert recorder.statements
    for statement in recorder.statements:
        assert _completely_read(url, statement) == []


@pytest.mark.parametrize("number", [0, 5])
def test_reader_state_reads_the_smaller_of_two_sets(store: RelationalStore, url: str, data: Data, number: int) -> None:
    """The generic plan too reads the smaller of two sets: the pulled authors and the reader's followees."""
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder:
        store.feed_activity.reader_state(data.people[number])
    sql = recorder.statements[0][0].replace("%(id)s", "$1").replace("%(authors)s", "'{}'")
    with psycopg.connect(url) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE reader_state AS {sql}".encode())
        row = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE reader_state('{data.people[number]}')".encode()
        ).fetchone()
    assert row is not None
    seen = [node for node in _nodes(row[0][0]["Plan"]) if node.get("Relation Name") == "follows"]
    rows = sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in seen)
    assert 0 < rows <= PULLED


def _completely_read(url: str, statement: Statement) -> list[str]:
    """The tables that one of the plans reads completely, even by an index.

    The pulled authors and the signals are excepted: they are few, and each call needs them.
    """
    sql, values = statement
    numbers = {name: f"${number}" for number, name in enumerate(values, 1)}
    generic = re.sub(r"%\((\w+)\)s", lambda found: numbers[found[1]], sql)
    with psycopg.connect(url) as connection:
        plans = [
            connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), values).fetchone(),
            connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {generic}".encode()).fetchone(),
        ]
    nodes = [node for plan in plans if plan for node in _nodes(plan[0][0]["Plan"])]
    assert nodes
    return [node["Relation Name"] for node in nodes if _reads_completely(node)]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def _reads_completely(node: dict[str, Any]) -> bool:
    table = node.get("Relation Name")
    if node["Node Type"] == "Seq Scan":
        return table not in {"pulled_authors", "feed_signals"}
    by_index = node["Node Type"] in {"Index Scan", "Index Only Scan"}
    return by_index and table in {"follows", "feed_activity"} and "Index Cond" not in node
