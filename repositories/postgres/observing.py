"""What PostgreSQL records of itself: the statistics views, and `pg_stat_statements` if it is loaded."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from msgspec.structs import replace

from repositories.errors import StoreError
from repositories.observer_port import SECONDS, EngineObserver, Question, Subject, Unread, known
from repositories.postgres import observing_queries as sql
from repositories.postgres.database import PostgresDatabase
from repositories.postgres.target import conninfo_of

_LOAD = (
    "pg_stat_statements is not there, so slow statements are found only while they run: "
    "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements', restart, CREATE EXTENSION pg_stat_statements"
)


class PostgresObserver(EngineObserver):
    """Uses one connection. `made` maps the names of Quartet's indexes to the statements that create them.

    An index with an empty statement is recognized by its name, but not reported when it is missing.
    """

    engine = "PostgreSQL"

    def __init__(self, url: str, role: str, made: Mapping[str, str]) -> None:
        target = conninfo_of(url)
        self.place = f"{target.server}/{target.keywords.get('dbname', '')}"
        self._made = made
        self._database = PostgresDatabase(url, role, timeout=timedelta(seconds=SECONDS), pool=1, fields={})

    def questions(self) -> Mapping[str, Question]:
        return {
            "the server": lambda: self._subjects("server", sql.SERVER),
            "what has a limit": lambda: self._subjects("level", sql.LEVELS),
            "pg_stat_user_tables": lambda: self._subjects("table", sql.TABLES),
            "pg_stat_user_indexes": self._indexes,
            "the indexes that there should be": self._missing,
            "pg_stat_activity": self._sessions,
            "pg_prepared_xacts": lambda: self._subjects("prepared transaction", sql.PREPARED),
            "pg_stat_replication": lambda: self._subjects("standby", sql.REPLICAS),
            "pg_replication_slots": lambda: self._subjects("slot", sql.SLOTS),
            "pg_statio_user_tables": lambda: self._subjects("role", sql.SHARES),
            "pg_stat_statements": self._statements,
        }

    def close(self) -> None:
        self._database.close()

    def _subjects(self, kind: str, statement: str) -> Iterator[Subject]:
        for name, figures, words in self._database.rows(statement):
            yield Subject(kind, name, known(figures), {key: word for key, word in words.items() if word is not None})

    def _indexes(self) -> Iterator[Subject]:
        for found in self._subjects("index", sql.INDEXES):
            plain = found.words["plain"]
            own = float(plain in self._made or plain.startswith("hot_"))
            yield replace(found, figures={**found.figures, "own": own})

    def _missing(self) -> Iterator[Subject]:
        there = {name for (name,) in self._database.rows(sql.EXISTING)}
        for name, statement in self._made.items():
            if statement and name not in there:
                yield Subject("missing index", name, {"missing": 1.0}, {"statement": statement})

    def _sessions(self) -> Iterator[Subject]:
        ((monitors, user),) = self._database.rows(sql.IS_MONITOR)
        if not monitors:
            raise Unread(f"the sessions of others are not shown to {user}: GRANT pg_monitor TO {user}")
        yield from self._subjects("session", sql.SESSIONS)

    def _statements(self) -> Iterator[Subject]:
        schemas = self._database.rows(sql.EXTENSION)
        if not schemas:
            raise Unread(_LOAD)
        try:
            yield from self._subjects("statement", sql.STATEMENTS.format(schema=schemas[0][0]))
        except StoreError as error:
            raise Unread(f"{_LOAD} ({error})") from error
