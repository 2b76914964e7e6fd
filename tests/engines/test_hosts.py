"""Each store lists the servers that it has seen, without a call to them; PostgreSQL also those that are away."""

import pytest

from app.container import build
from config import Settings
from repositories.read_your_writes import HostState
from tests.engines import Shared
from tests.system.real import KEYSPACE, real_urls

pytestmark = pytest.mark.engines
STATES = {
    "relational": "primary",
    "documents": "primary",
    "feeds": "member",
    "sessions": "primary",
    "cache": "primary",
}


def test_every_store_names_its_servers(engines: Shared) -> None:
    container = build(Settings(**real_urls(engines, "hosts", keyspace=KEYSPACE)))
    try:
        for role, store in container.stores.by_role().items():
            assert {host.state for host in store.hosts()} <= {"not connected"}
            store.ping()
            [host] = store.hosts()
            name, _, port = host.name.rpartition(":")
            assert (host.state, name, port.isdecimal()) == (STATES[role], "127.0.0.1", True), host
            assert "@" not in host.name
    finally:
        container.close()


def test_unreachable_postgresql_servers_are_listed_too(engines: Shared) -> None:
    """With several hosts in the URL, each is asked. Nothing listens on the first."""
    url = engines.postgres().url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:", 1)
    container = build(Settings(relational_url=url, relational_timeout=10.0))
    try:
        container.stores.relational.ping()
        away, found = container.stores.relational.hosts()
        assert away == HostState("127.0.0.1:1", "away")
        assert found.state == "primary"
    finally:
        container.close()
