"""The cache in an SQL database, with the other stores at its URL, as a place of a move."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from repositories.hot.moved_cache import CachePlace
from repositories.moving.gate import Engine, Noted, SqlGate
from repositories.moving.places import Mark
from repositories.moving.sql_places import GatedPlace, PlaceDatabase


class SqlCachePlace(CachePlace, GatedPlace):
    """`tables` take no writes in a place that was left; `void` is that of the cache."""

    def __init__(
        self, database: PlaceDatabase, engine: Engine, tables: Sequence[str], void: Callable[[], None]
    ) -> None:
        self._database = database
        self._gate = SqlGate(database, engine, "cache", [Noted(table, "", ()) for table in tables])
        self._empty = void

    def capture(self, mark: Mark) -> None:
        self._gate.capture_nothing(mark)

    @contextlib.contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        with self._gate.switching(mark):
            self._empty()
            yield

    def receive(self, mark: Mark) -> None:
        self._gate.close(mark)
        with self._database.write() as work, self._gate.own(work):
            self._empty()

    def tidy(self, move: str = "") -> None:
        super().tidy(move)
        self._gate.tidy(move)

    def _void(self) -> None:
        self._empty()
