"""Opens an observer of what a URL leads to. The scheme decides."""

from collections.abc import Collection

from repositories.made_indexes import made_on_postgres, made_on_sqlite
from repositories.observations import EngineObserver


def open_observer(url: str, roles: Collection[str]) -> EngineObserver:
    """`roles` are those that are at this URL, one at least. Connects when it is first asked. Raises `BadAddress`."""
    scheme, role = url.partition(":")[0], next(iter(roles))
    if scheme == "sqlite":
        from repositories.sqlite_observing import SqliteObserver

        return SqliteObserver(url, role, made_on_sqlite(roles))
    if scheme.startswith("mongodb"):
        from repositories.documents.mongo.observing import MongoObserver

        return MongoObserver(url)
    if scheme == "cassandra":
        from repositories.feeds.cassandra.observing import CassandraObserver

        return CassandraObserver(url)
    if scheme != "postgresql":
        from repositories.hot.redis.observing import RedisObserver

        return RedisObserver(url, role)
    from repositories.postgres.observing import PostgresObserver

    return PostgresObserver(url, role, made_on_postgres(roles))
