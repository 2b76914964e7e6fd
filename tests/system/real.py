"""The URLs of the real engines, with new databases and a new keyspace."""

from collections.abc import Collection
from typing import Any
from uuid import uuid4

from tests.apps import ROLES
from tests.contracts.relational_store import migrated_database
from tests.engines import Fleet, Reachable

# Creating tables takes Cassandra seconds. Rows belong to accounts, so tests with their own accounts share a keyspace.
KEYSPACE = f"tests_{uuid4().hex[:12]}"


def real_urls(
    engines: Fleet[Reachable], name: str, roles: Collection[str] = ROLES, *, keyspace: str | None = None
) -> dict[str, Any]:
    """Settings for these roles. Starts only their engines; the names of database and keyspace begin with `name`."""
    name = f"{name}_{uuid4().hex[:12]}"
    makers = {
        "relational": lambda: migrated_database(engines.postgres()),
        "documents": lambda: engines.mongo().url.replace("/quartet?", f"/{name}?"),
        "feeds": lambda: engines.cassandra().url.replace("/quartet", f"/{keyspace or name}"),
        "sessions": lambda: engines.sessions().url,
        "cache": lambda: engines.cache().url,
    }
    return {f"{role}_url": makers[role]() for role in roles}


def on_postgres(engines: Fleet[Reachable], roles: Collection[str]) -> dict[str, Any]:
    """Settings with these roles in one PostgreSQL database."""
    return dict.fromkeys((f"{role}_url" for role in roles), migrated_database(engines.postgres()))
