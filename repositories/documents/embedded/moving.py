"""Documents in SQLite as a place of a move."""

from pathlib import Path

from repositories.documents.sql.dump import DocumentsDump
from repositories.documents.sql.moving import DocumentsPlace
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlDatabase


def place(path: Path, database: SqlDatabase, dump: DocumentsDump) -> DocumentsPlace:
    return DocumentsPlace(database, SqliteEngine(path.exists), dump)
