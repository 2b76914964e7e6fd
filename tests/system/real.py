"""The real engines' URLs, with databases and a keyspace of one's own."""

from collections.abc import Collection
from typing import Any

from tests.apps import ROLES
from tests.contracts.relational_store import new_database
from tests.engines import Engines


def real_urls(engines: Engines, name: str, roles: Collection[str] = ROLES) -> dict[str, Any]:
    """Settings for these roles. Starts no engine but theirs; `name` names database and keyspace."""
    makers = {
        "relational": lambda: new_database(engines.postgres()),
        "documents": lambda: engines.mongo().url.replace("/quartet?", f"/{name}?"),
        "feeds": lambda: engines.cassandra().url.replace("/quartet", f"/{name}"),
        "sessions": lambda: engines.sessions().url,
        "cache": lambda: engines.cache().url,
    }
    return {f"{role}_url": makers[role]() for role in roles}
