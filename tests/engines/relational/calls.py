"""Calls and timeouts for tests with faults of PostgreSQL."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW
from tests.engines.slack import SLACK

TIMEOUT = timedelta(seconds=0.6)
LIMIT = TIMEOUT.total_seconds() + SLACK
POOL = 3
ACTIVITY = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet'"


def read(store: RelationalStore) -> None:
    store.accounts.by_handle("ada")


def write(store: RelationalStore) -> None:
    with store.transaction() as unit:
        unit.stock.put(uuid4(), 1)


def claim(store: RelationalStore) -> None:
    store.outbox.claim(now=NOW, lease_until=NOW, limit=1)


CALLS: list[Callable[[RelationalStore], None]] = [read, write, claim, lambda store: store.ping()]


def fails_within(seconds: float, call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        call()
    assert time.monotonic() - start < seconds
    assert caught.value.store == "relational"
