"""The index, in SQLite with FTS5: posts and products as last read, and the ids of processed events."""

import re
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, owner TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_owner ON documents (owner);
CREATE TABLE IF NOT EXISTS taken (event TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    title, text, content = 'documents', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER IF NOT EXISTS put AFTER INSERT ON documents BEGIN
    INSERT INTO words (rowid, title, text) VALUES (new.number, new.title, new.text);
END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON documents BEGIN
    INSERT INTO words (words, rowid, title, text) VALUES ('delete', old.number, old.title, old.text);
END;
"""
# Ids are UUIDv7, so the order by id is the order by time.
FIND = """
SELECT documents.id, documents.kind FROM words JOIN documents ON documents.number = words.rowid
WHERE words MATCH :match AND (:kind = '' OR documents.kind = :kind) AND (:before = '' OR documents.id < :before)
ORDER BY documents.id DESC LIMIT :limit
"""


class Document(NamedTuple):
    """`kind` is `post` or `product`; `owner` is the id of its author or seller."""

    id: str
    kind: str
    owner: str
    title: str
    text: str


class Index:
    """The index in a file, or in memory for `:memory:`. Thread-safe."""

    def __init__(self, path: Path | str) -> None:
        self._guard = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        self._database.close()

    def has_taken(self, event: str) -> bool:
        with self._guard:
            return self._database.execute("SELECT 1 FROM taken WHERE event = ?", [event]).fetchone() is not None

    def put(self, event: str, document: Document) -> None:
        """Insert or replace a document, and mark the event as processed, in one transaction, as for every event."""
        with self._guard, self._database:
            self._take(event)
            self._database.execute("DELETE FROM documents WHERE id = ?", [document.id])
            self._database.execute(
                "INSERT INTO documents (id, kind, owner, title, text) VALUES (?, ?, ?, ?, ?)", document
            )

    def add(self, document: Document) -> bool:
        """Insert a document unless it exists: then an event has added it, and may have a newer version.

        Returns whether it was inserted.
        """
        with self._guard, self._database:
            statement = "INSERT OR IGNORE INTO documents (id, kind, owner, title, text) VALUES (?, ?, ?, ?, ?)"
            return self._database.execute(statement, document).rowcount > 0

    def remove(self, event: str, document_id: str) -> None:
        with self._guard, self._database:
            self._take(event)
            self._database.execute("DELETE FROM documents WHERE id = ?", [document_id])

    def remove_all_of(self, event: str, owner: str) -> None:
        with self._guard, self._database:
            self._take(event)
            self._database.execute("DELETE FROM documents WHERE owner = ?", [owner])

    def find(self, query: str, kind: str, before: str, limit: int) -> Sequence[tuple[str, str]]:
        """Ids and kinds of documents with all the words of `query`, newest first. The last word may be a prefix.

        `kind` and `before` (only smaller ids) restrict the result unless empty.
        """
        match = matching(query)
        if not match:
            return []
        values = {"match": match, "kind": kind, "before": before, "limit": limit}
        with self._guard, closing(self._database.execute(FIND, values)) as found:
            return found.fetchall()

    def _take(self, event: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO taken VALUES (?)", [event])


def matching(query: str) -> str:
    """An FTS5 expression for all words of the query, in which no character of the query acts as syntax."""
    words = [f'"{word}"' for word in re.findall(r"\w+", query)]
    return " ".join(words) + "*" if words else ""
