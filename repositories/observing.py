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
    from repositories.postgres.observing import PostgresObserver

    return PostgresObserver(url, role, made_on_postgres(roles))
