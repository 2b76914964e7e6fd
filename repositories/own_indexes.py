"""The indexes that Quartet creates in SQL databases, with their statements."""

from collections.abc import Collection, Sequence

from sqlalchemy import Dialect
from sqlalchemy.schema import CreateIndex

from repositories.relational.dump import COPIED

Statements = Sequence[str]


def made_on_postgres(roles: Collection[str]) -> dict[str, str]:
    """`CREATE INDEX` statements by name, `CONCURRENTLY` except on partitioned tables, which do not support that."""
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    from repositories.documents.postgres import schema as documents
    from repositories.feeds.postgres import schema as feeds

    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # it has no annotation
    found = _made(roles, dialect, {"documents": documents.TABLES, "feeds": feeds.TABLES})
    return {
        name: text if name.startswith("feeds_") else text.replace("INDEX ", "INDEX CONCURRENTLY ", 1)
        for name, text in found.items()
    }


def made_on_sqlite(roles: Collection[str]) -> dict[str, str]:
    """`CREATE INDEX` statements by name."""
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

    from repositories.documents.embedded import schema as documents
    from repositories.feeds.embedded import schema as feeds

    return _made(roles, SQLiteDialect_pysqlite(), {"documents": documents.TABLES, "feeds": feeds.TABLES})


def _made(roles: Collection[str], dialect: Dialect, others: dict[str, Statements]) -> dict[str, str]:
    """The indexes of relational tables and of `others`. Left out: those of the hot role, which are on expiry times."""
    found = {}
    if "relational" in roles:
        for index in (index for table in COPIED[0].metadata.tables.values() for index in table.indexes):
            found[str(index.name)] = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
    for role in others.keys() & set(roles):
        for statement in (one for one in others[role] if "INDEX IF NOT EXISTS" in one):
            text = " ".join(statement.split()).replace("IF NOT EXISTS ", "", 1)
            found[text.removeprefix("CREATE INDEX ").split()[0]] = text
    return found
