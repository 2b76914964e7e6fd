"""SQLite runs the feeds' queries for readers and fan-outs on the partial indexes, which contain only pending rows."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from repositories.relational.embedded.store import EmbeddedRelational
from tests.contracts.relational_store import NOW

ONE = uuid4()
CALLS: dict[str, Callable[[EmbeddedRelational], object]] = {
    "follows_pending": lambda store: store.feed_activity.reader_state(ONE),
    "feed_activity_awake": lambda store: write(store, lambda unit: unit.feed_activity.sleep(seen_before=NOW, limit=9)),
    "follows_follower_ids": lambda store: store.fanouts.audience(ONE, after=ONE, limit=9),
    "fanouts_pulled": lambda store: store.fanouts.postponed(ONE, limit=9),
    "fanouts_running": lambda store: store.fanouts.lag(),
    "fanouts_done": lambda store: write(store, lambda unit: unit.fanouts.sweep(finished_before=NOW, limit=9)),
}


def write(store: EmbeddedRelational, work: Callable[[Any], object]) -> None:
    with store.transaction() as unit:
        work(unit)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedRelational]:
    store = EmbeddedRelational(f"sqlite:///{tmp_path / 'quartet.db'}")
    store.migrate()
    yield store
    store.close()


@pytest.mark.parametrize("index", CALLS)
def test_the_plan_uses_the_index(store: EmbeddedRelational, tmp_path: Path, index: str) -> None:
    asked: list[tuple[str, Any]] = []

    def record(_connection: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        asked.append((sql, values))

    for engine in (store._reading, store._writing):
        event.listen(engine, "before_cursor_execute", record)
    CALLS[index](store)
    sql, values = asked[-1]
    with closing(sqlite3.connect(tmp_path / "quartet.db")) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert any(f"INDEX {index}" in step for step in plan)
    assert not any(step.startswith(("SCAN follows", "SCAN readers")) for step in plan)
