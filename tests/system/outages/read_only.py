"""Makes a server read-only by its own means. Each function returns another one, which makes the server writable
again.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis

from tests.engines.kernel import wait_until
from tests.engines.proxy import Proxy

Mend = Callable[[], None]


def postgres(url: str) -> Mend:
    """Like a hosting provider does when the disk is nearly full."""
    database = urlsplit(url).path.lstrip("/")

    def alter(change: str) -> None:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("SET default_transaction_read_only = off")
            server.execute(f'ALTER DATABASE "{database}" {change}')
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'quartet' AND datname = current_database()"
            )

    alter("SET default_transaction_read_only = on")
    return lambda: alter("RESET default_transaction_read_only")


def mongo(url: str) -> Mend:
    """Make the only member a secondary, as it would be without a majority or before an election."""
    with _member(url) as member:
        member.admin.command({"replSetStepDown": 600, "force": True})

    def elect() -> None:
        with _member(url) as member:
            member.admin.command("replSetFreeze", 0)
            assert wait_until(lambda: _is_primary(member), 60)

    return elect


def redis(url: str) -> Mend:
    """Make the master require a replica, which it does not have."""

    def demand(replicas: int) -> None:
        with Redis.from_url(url) as server:
            server.config_set("min-replicas-to-write", replicas)

    demand(1)
    return lambda: demand(0)


# Cassandra has no such state: a node accepts writes or is unavailable.
READ_ONLY: dict[str, Callable[[str], Mend]] = {
    "relational": postgres,
    "documents": mongo,
    "sessions": redis,
    "cache": redis,
}


def move_member(proxy: Proxy) -> None:
    """Reconfigure the only member of a replica set to report the proxy's address."""
    with _member(proxy.behind) as member:
        config = member.admin.command("replSetGetConfig")["config"]
        config["members"][0]["host"], config["version"] = urlsplit(proxy.url).netloc, config["version"] + 1
        member.admin.command("replSetReconfig", config)
        assert wait_until(lambda: _is_primary(member), 60)


def _member(url: str) -> MongoClient[dict[str, Any]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return MongoClient(parts.hostname, parts.port, directConnection=True, serverSelectionTimeoutMS=5000)


def _is_primary(member: MongoClient[dict[str, Any]]) -> bool:
    try:
        return bool(member.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False
