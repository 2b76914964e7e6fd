"""The real engines' URLs, with databases and a keyspace of one's own."""

from collections.abc import Collection
from typing import Any
from uuid import uuid4

from tests.apps import ROLES
from tests.contracts.relational_store import migrated_database
from tests.engines import Fleet, Reachable

# Tables take Cassandra seconds. Rows belong to accounts, so tests with accounts of their own may share a keyspace.
KEYSPACE = f"tests_{uuid4().hex[:12]}"


def real_urls(
    engines: Fleet[Reachable], name: str, roles: Collection[str] = ROLES, *, keyspace: str | None = None
) -> dict[str, Any]:
    """Settings for these roles. Starts no engine but theirs; the names of database and keyspace begin with `name`."""
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
    """Settings for these roles in one database of PostgreSQL."""
    return dict.fromkeys((f"{role}_url" for role in roles), migrated_database(engines.postgres()))
