"""The common part of all places in SQL databases."""

import contextlib
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import msgspec

from repositories.moving.gate import SqlGate
from repositories.moving.places import FrozenPlace, Key, Mark, StorePlace


class PlaceDatabase(Protocol):
    """The part of `SqlDatabase` that a place needs. That class depends on `Store`, which depends on places."""

    def rows(self, sql: str, parameters: Any = (), /) -> list[Any]: ...

    def snapshot(self) -> AbstractContextManager[Any]: ...

    def write(self) -> AbstractContextManager[Any]:
        """Raises `Contention` if it waits for other transactions too long."""


class GatedPlace(StorePlace):
    _gate: SqlGate

    def mark(self) -> Mark | None:
        return self._gate.mark()

    def open(self, epoch: int) -> None:
        self._gate.open(epoch)

    def tidy(self, move: str = "") -> None:
        self._gate.tidy(move)

    def capture(self, mark: Mark) -> None:
        self._gate.capture(mark)

    def switching(self, mark: Mark) -> AbstractContextManager[None]:
        return self._gate.switching(mark)

    def forget(self, moment: FrozenPlace) -> None:
        self._gate.forget(moment.notes)

    def release(self) -> None:
        self._gate.release()


class SqlPlace(GatedPlace):
    """A place whose records are read and written in the role's own SQL database."""

    _database: PlaceDatabase

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        asking = self._gate.notes()
        with self._database.snapshot() as work:
            notes = work.execute(asking).fetchall() if asking else []
            if notes:
                self._gate.check()
            changed: dict[str, set[Key]] = defaultdict(set)
            for _, kind, key in notes:
                changed[kind].add(self._key(kind, msgspec.json.decode(key)))
            numbers = [number for number, *_ in notes]
            yield FrozenPlace(partial(self._records, work), partial(self._of_keys, work), changed, numbers)

    @contextlib.contextmanager
    def _own(self) -> Iterator[Any]:
        """A transaction that may write while the place is `incoming`."""
        with self._database.write() as work, self._gate.own(work):
            yield work

    @abstractmethod
    def _key(self, kind: str, noted: list[Any]) -> Key:
        """The key from a note, in which ids are text."""

    @abstractmethod
    def _records(self, work: Any, kind: str) -> Iterator[Sequence[Any]]:
        """Like `FrozenPlace.records`."""

    @abstractmethod
    def _of_keys(self, work: Any, kind: str, keys: Sequence[Key]) -> list[Any]:
        """Like `FrozenPlace.of_keys`."""
