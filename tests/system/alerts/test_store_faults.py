"""Faults of stores that a proxy cannot simulate: each fires an alert of its kind that names its store."""

from collections.abc import Iterator

import pytest

from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.system.alerts.store_faults import (
    Fault,
    connections_taken,
    files_locked,
    frozen,
    full,
    locked,
    no_login,
    replica,
    too_few_nodes,
)
from tests.system.alerts.watched import PATIENCE, Watched, watching

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]
READERS = 3
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "no login": (no_login, "relational", "QuartetStoreDown"),
    "accounts locked": (locked("accounts"), "relational", "QuartetStoreContended"),
    "wallets locked": (locked("ledger_accounts"), "relational", "QuartetStoreContended"),
    "follows locked": (locked("follows"), "relational", "QuartetStoreContended"),
    "outbox locked": (locked("outbox"), "relational", "QuartetOutboxUnreadable"),
    "connections taken": (connections_taken, "relational", "QuartetStoreDown"),
    "PostgreSQL frozen": (frozen(Engines.postgres), "relational", "QuartetStoreDown"),
    "files locked": (files_locked, "documents", "QuartetStoreFailing"),
    "MongoDB frozen": (frozen(Engines.mongo), "documents", "QuartetStoreDown"),
    "sessions full": (full, "sessions", "QuartetStoreReadOnly"),
    "sessions a replica": (replica, "sessions", "QuartetStoreReadOnly"),
    "sessions frozen": (frozen(Engines.sessions), "sessions", "QuartetStoreDown"),
    "cache full": (full, "cache", "QuartetStoreReadOnly"),
    "cache a replica": (replica, "cache", "QuartetStoreReadOnly"),
    "cache frozen": (frozen(Engines.cache), "cache", "QuartetStoreDown"),
    "too few nodes": (too_few_nodes, "feeds", "QuartetStoreFailing"),
    "Cassandra frozen": (frozen(Engines.cassandra), "feeds", "QuartetStoreDown"),
}


@pytest.fixture(scope="module")
def watched(own_engines: Engines) -> Iterator[Watched]:
    with watching(own_engines, "others", request_timeout=5.0) as made:
        yield made


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fires_the_alert_of_its_store(watched: Watched, own_engines: Engines, name: str) -> None:
    fault, role, alert = FAULTS[name]
    found, server = watched.prometheus, watched.proxied_system.proxies[role].behind
    with watched.traffic(READERS):
        with fault(own_engines, server):
            assert wait_until(lambda: (alert, role) in found.firing(), PATIENCE), found.firing()
        assert wait_until(watched.proxied_system.is_well, PATIENCE)
        assert wait_until(lambda: (alert, role) not in found.firing(), PATIENCE), found.firing()
