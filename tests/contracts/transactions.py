"""Transactions, concurrent calls and plain SQL on relational stores, for tests."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, Executable, text

from repositories.errors import Contention, StoreError
from repositories.records.events import Event
from repositories.relational import RelationalStore, Transaction, migrations
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.postgres.store import PostgresRelational

T = TypeVar("T")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
LARGEST = 2**63 - 1


def do(store: RelationalStore, work: Callable[[Transaction], T]) -> T:
    with store.transaction() as unit:
        return work(unit)


def do_retrying(store: RelationalStore, work: Callable[[Transaction], T]) -> T:
    """Run `work` in a transaction, retrying contention like the services."""
    for _ in range(200):
        try:
            return do(store, work)
        except Contention:
            continue
    raise AssertionError("contention after 200 attempts")


def together(works: Sequence[Callable[[], T]]) -> list[T | StoreError]:
    """Run the works at the same moment, each in a thread."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T | StoreError:
        barrier.wait()
        try:
            return work()
        except StoreError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def sql(store: RelationalStore, *statements: Executable | str) -> list[Any]:
    """Run statements in one transaction, bypassing the port. Returns the rows of the last one."""
    with engine_of(store).begin() as connection:
        whole = [text(one) if isinstance(one, str) else one for one in statements]
        results = [connection.execute(statement) for statement in whole]
        return list(results[-1].all()) if results[-1].returns_rows else []


def engine_of(store: RelationalStore) -> Engine:
    assert isinstance(store, EmbeddedRelational | PostgresRelational)
    return store._writing if isinstance(store, EmbeddedRelational) else store._writing.engine


def downgrade(store: RelationalStore, revision: str) -> None:
    """Undo the migrations after this one."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine_of(store).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def dispatched(store: RelationalStore, *events: Event) -> list[Event]:
    """Dispatch all waiting events. Returns those among `events`, in the order of dispatch."""
    found: list[Event] = []
    while claims := store.outbox.claim(now=store.now() + SECOND, lease_until=store.now() + HOUR, limit=9):
        found += [claim.event for claim in claims if claim.event in events]
        store.outbox.acknowledge(claims)
    return found
