"""What the places in databases of SQL have in common."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from repositories.moving.gate import SqlGate
from repositories.moving.places import FrozenPlace, Mark, StorePlace


class PlaceDatabase(Protocol):
    """What a place needs of `SqlDatabase`, which knows of stores, and these of places."""

    def rows(self, sql: str, parameters: Any = (), /) -> list[Any]: ...

    def snapshot(self) -> AbstractContextManager[Any]: ...

    def write(self) -> AbstractContextManager[Any]:
        """Raises `Contention` where it waits for others too long."""


class GatedPlace(StorePlace):
    _gate: SqlGate

    def mark(self) -> Mark | None:
        return self._gate.mark()

    def open(self, epoch: int) -> None:
        self._gate.open(epoch)

    def tidy(self) -> None:
        self._gate.tidy()

    def capture(self, mark: Mark) -> None:
        self._gate.capture(mark)

    def switching(self, mark: Mark) -> AbstractContextManager[None]:
        return self._gate.switching(mark)

    def forget(self, moment: FrozenPlace) -> None:
        self._gate.forget(moment.notes)

    def release(self) -> None:
        self._gate.release()
