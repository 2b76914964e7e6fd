"""Every statement of the relational store uses an index when PostgreSQL plans it over thousands of rows."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import event

from repositories.records.events import Event
from repositories.records.graph import Edge, Follow, Like
from repositories.relational import RelationalStore, Transaction
from repositories.relational.postgres.store import PostgresRelational
from tests.contracts.relational_store import NOW, account, login, opened
from tests.engines.relational.filled import fill

ROWS = 5_000
SECOND = timedelta(seconds=1)

Statement = tuple[str, Any]


@pytest.fixture(scope="module")
def ids(url: str) -> list[UUID]:
    """Load accounts that follow, block and like one another, products and events. All have these ids."""
    people = [account() for _ in range(ROWS)]
    ids = [one.id for one in people]
    ring = [(one, ids[(turn + step) % ROWS]) for step in (1, 2) for turn, one in enumerate(ids)]

    def load(unit: Transaction) -> None:
        unit.bulk.accounts([(one, login(one)) for one in people], seen_at=NOW)
        unit.bulk.follows([Follow(one, other, NOW) for one, other in ring])
        unit.bulk.likes([Like(one, other, NOW) for one, other in ring])
        unit.bulk.stock(dict.fromkeys(ids, 1))
        for one in ids:
            unit.emit(Event(one, "t", str(one), NOW, b"{}" * 200))

    fill(
        url,
        load,
        "INSERT INTO blocks SELECT follower, followee, since FROM follows",
        "INSERT INTO mail_tokens SELECT id, 'reset', decode(md5(id::text), 'hex'), created_at FROM accounts",
        "INSERT INTO deferred SELECT decode(md5(id::text), 'hex'), id, ''::bytea, created_at FROM accounts",
    )
    return ids


@pytest.fixture(scope="module")
def store(url: str, ids: list[UUID]) -> Iterator[RelationalStore]:
    with opened(url) as store:
        yield store


READS: dict[str, Callable[[RelationalStore, list[UUID]], object]] = {
    "accounts.get": lambda store, ids: store.accounts.get(ids[:20]),
    "accounts.by_handle": lambda store, _ids: store.accounts.by_handle("ada"),
    "accounts.login by handle": lambda store, _ids: store.accounts.login("ada"),
    "accounts.login by e-mail": lambda store, _ids: store.accounts.login("ada@example.org"),
    "accounts.login_of": lambda store, ids: store.accounts.login_of(ids[0]),
    "accounts.ids": lambda store, _ids: store.accounts.ids(after=None, limit=20),
    "accounts.ids after": lambda store, ids: store.accounts.ids(after=ids[1], limit=20),
    "following": lambda store, ids: store.graph.following(ids[0], before=None, limit=20),
    "following before": lambda store, ids: store.graph.following(ids[0], before=Edge(ids[1], NOW), limit=20),
    "followers": lambda store, ids: store.graph.followers(ids[0], before=None, limit=20),
    "followers before": lambda store, ids: store.graph.followers(ids[0], before=Edge(ids[1], NOW), limit=20),
    "blocked": lambda store, ids: store.graph.blocked(ids[0], before=None, limit=20),
    "blocked before": lambda store, ids: store.graph.blocked(ids[0], before=Edge(ids[1], NOW), limit=20),
    "followees": lambda store, ids: store.graph.followees(ids[0]),
    "relations": lambda store, ids: store.graph.relations(ids[0], ids[:20]),
    "graph.counts": lambda store, ids: store.graph.counts(ids[:20]),
    "liked": lambda store, ids: store.likes.liked(ids[0], ids[:20]),
    "beside_follows": lambda store, ids: store.likes.beside_follows(ids[0], ids[:20], ids[:20]),
    "likes.counts": lambda store, ids: store.likes.counts(ids[:20]),
    "available": lambda store, ids: store.stock.available(ids[:20]),
    "outbox.claim": lambda store, _ids: store.outbox.claim(now=NOW, lease_until=NOW, limit=100),
    "outbox.dead_letters": lambda store, _ids: store.outbox.dead_letters(limit=20),
    "outbox.replay": lambda store, ids: store.outbox.replay([ids[0]], now=NOW),
    "outbox.replay all": lambda store, _ids: store.outbox.replay(None, now=NOW),
    "outbox.backlog": lambda store, _ids: store.outbox.backlog(),
}
WRITES: dict[str, Callable[[Transaction, list[UUID]], object]] = {
    "replace": lambda unit, ids: unit.accounts.replace(account(id=ids[0], handle=ids[0].hex), if_version=1),
    "set_password": lambda unit, ids: unit.accounts.set_password(ids[0], "other", if_hash="hash"),
    "set_email": lambda unit, ids: unit.accounts.set_email(ids[1], "other@example.org", if_hash="hash"),
    "mail_tokens.take": lambda unit, _ids: unit.mail_tokens.take(b"digest", "reset", now=NOW),
    "lock": lambda unit, ids: unit.graph.lock(ids[0], ids[1]),
    "follow": lambda unit, ids: unit.graph.follow(Follow(ids[0], ids[9], NOW)),
    "unfollow": lambda unit, ids: unit.graph.unfollow(ids[0], ids[1]),
    "filled": lambda unit, ids: unit.graph.filled(Follow(ids[0], ids[2], NOW)),
    "unblock": lambda unit, ids: unit.graph.unblock(ids[0], ids[1]),
    "like": lambda unit, ids: unit.likes.like(Like(ids[0], ids[9], NOW)),
    "unlike": lambda unit, ids: unit.likes.unlike(ids[0], ids[1]),
    "forget_post": lambda unit, ids: unit.likes.forget_post(ids[5]),
    "stock.put": lambda unit, _ids: unit.stock.put(uuid4(), 1),
}


@pytest.mark.parametrize("name", READS)
def test_reads(store: RelationalStore, url: str, ids: list[UUID], name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder:
        READS[name](store, ids)
    assert len(recorder.statements) == 1
    assert scans(url, recorder.statements) == []


@pytest.mark.parametrize("name", WRITES)
def test_writes(store: RelationalStore, url: str, ids: list[UUID], name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder, store.transaction() as unit:
        WRITES[name](unit, ids)
    assert recorder.statements
    assert scans(url, recorder.statements) == []


def test_acknowledging_and_releasing_claims_uses_indexes(store: RelationalStore, url: str) -> None:
    assert isinstance(store, PostgresRelational)
    first, second, *rest = store.outbox.claim(now=NOW, lease_until=NOW + SECOND, limit=20)
    with Recorder(store) as recorder:
        store.outbox.postpone(first, due=NOW, attempts=1)
        store.outbox.dead_letter(second, reason="r", attempts=1, now=NOW)
        store.outbox.release(rest)
        store.outbox.acknowledge(rest)
    assert len(recorder.statements) == 4
    assert scans(url, recorder.statements) == []


class Recorder:
    """Records the statements that the store sends."""

    def __init__(self, store: PostgresRelational) -> None:
        self.statements: list[Statement] = []
        self._engines = [store._reading.engine, store._writing.engine]

    def __enter__(self) -> Self:
        for engine in self._engines:
            event.listen(engine, "before_cursor_execute", self._record)
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            event.remove(engine, "before_cursor_execute", self._record)

    def _record(self, _connection: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        self.statements.append((sql, values))


def scans(url: str, statements: list[Statement]) -> list[str]:
    """The tables that the statements would read by a sequential scan."""
    found: list[str] = []
    with psycopg.connect(url) as connection:
        for sql, values in statements:
            row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), values).fetchone()
            assert row is not None
            found += _scanned(row[0][0]["Plan"])
    return found


def _scanned(plan: dict[str, Any]) -> list[str]:
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [table for part in plan.get("Plans", []) for table in _scanned(part)]
