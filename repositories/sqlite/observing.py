"""Figures about the file of the embedded stores. SQLite keeps no statistics of its use."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from repositories.observer_port import EngineObserver, Question, Subject, Unread
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_PAGES = "SELECT page_count * page_size, freelist_count FROM pragma_page_count, pragma_page_size, pragma_freelist_count"


class SqliteObserver(EngineObserver):
    """`made` are the indexes that Quartet creates, with their statements; one that does not exist is reported."""

    engine = "SQLite"

    def __init__(self, url: str, role: str, made: Mapping[str, str]) -> None:
        self._path = path_of(url)
        self.place = str(self._path)
        self._made = made
        self._file = SqliteDatabase(self._path, role)

    def questions(self) -> Mapping[str, Question]:
        return {"the file": self._whole, "the indexes that there should be": self._missing}

    def close(self) -> None:
        self._file.close()

    def _whole(self) -> Iterator[Subject]:
        if not self._path.exists():
            raise Unread(f"there is no file {self._path} yet: quartet migrate")
        ((size, free),) = self._file.rows(_PAGES)
        ((page,),) = self._file.rows("PRAGMA page_size")
        log = Path(f"{self._path}-wal")
        disk = shutil.disk_usage(self._path.resolve().parent)
        figures = {
            "bytes": size,
            "empty_bytes": free * page,
            "empty_share": free * page / max(size, 1),
            "log_bytes": log.stat().st_size if log.exists() else 0,
            "disk_free_bytes": disk.free,
            "disk_free_share": disk.free / max(disk.total, 1),
            "disk_free_sizes": disk.free / max(size, 1),
        }
        yield Subject("server", "file", figures)
        yield Subject("level", "bytes", {"value": size, "limit": size + disk.free})

    def _missing(self) -> Iterator[Subject]:
        there = {name for (name,) in self._file.rows("SELECT name FROM sqlite_master")}
        for name, statement in self._made.items():
            if statement and name not in there:
                yield Subject("missing index", name, {"missing": 1.0}, {"statement": statement})
