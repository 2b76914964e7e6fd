"""Opens the observer of an engine, by the scheme of its URL."""

from collections.abc import Collection, Iterator, Mapping

from msgspec.structs import replace

from repositories.observer_port import EngineObserver, Observed, Subject
from repositories.own_indexes import made_on_postgres, made_on_sqlite

# Prefixes of the names of a table's counters.
SCANS, SCANNED_ROWS = "scans of", "scanned rows of"
# The most tables that are counted (those with the most scanned rows), and the fewest rows of such a table.
MOST_TABLES, FEWEST_ROWS = 30, 1_000


class Observers:
    """The observers of a system: one per server or file, each with the roles stored there."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        by_url: dict[str, list[str]] = {}
        for role, url in urls.items():
            by_url.setdefault(url, []).append(role)
        self._all = [(open_observer(url, roles), tuple(roles)) for url, roles in by_url.items()]

    def __iter__(self) -> Iterator[tuple[EngineObserver, tuple[str, ...]]]:
        return iter(self._all)

    def close(self) -> None:
        for observer, _ in self._all:
            observer.close()


def levels_of(observed: Observed, roles: Collection[str]) -> list[Subject]:
    """The subjects of kind `level`. Their names are prefixed with the first role."""
    role = next(iter(roles))
    return [replace(one, name=f"{role} {one.name}") for one in observed.subjects if one.kind == "level"]


def counts_of(observed: Observed, roles: Collection[str]) -> list[Subject]:
    """The engine's running counters of its tables. Their names are prefixed as in `levels_of`."""
    role = next(iter(roles))
    tables = [
        one for one in observed.subjects if "scans" in one.figures and one.figures.get("rows", 0.0) >= FEWEST_ROWS
    ]
    tables.sort(key=lambda one: one.figures["scanned_rows"], reverse=True)
    return [
        Subject("count", f"{role} {what} {one.name}", {"value": one.figures[figure]})
        for one in tables[:MOST_TABLES]
        for what, figure in ((SCANS, "scans"), (SCANNED_ROWS, "scanned_rows"))
    ]


def bounded(level: Subject) -> tuple[int, int | None]:
    """The value and the limit of a level, rounded; None if there is no limit."""
    limit = level.figures.get("limit")
    return round(level.figures["value"]), None if limit is None else round(limit)


def open_observer(url: str, roles: Collection[str]) -> EngineObserver:
    """`roles` are those stored at this URL, at least one. Connects at the first query. Raises `BadAddress`."""
    scheme, role = url.partition(":")[0], next(iter(roles))
    if scheme == "sqlite":
        from repositories.sqlite.observing import SqliteObserver

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
