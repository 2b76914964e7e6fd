"""Documents in PostgreSQL as a place of a move."""

from repositories.documents.sql.dump import DocumentsDump
from repositories.documents.sql.moving import DocumentsPlace
from repositories.moving.postgres import PostgresEngine
from repositories.sql import SqlDatabase


def place(database: SqlDatabase, dump: DocumentsDump) -> DocumentsPlace:
    return DocumentsPlace(database, PostgresEngine(), dump, "TRUNCATE")
