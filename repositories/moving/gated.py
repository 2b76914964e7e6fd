"""What the places in databases of SQL have in common."""

from contextlib import AbstractContextManager

from repositories.moving.gate import SqlGate
from repositories.moving.places import FrozenPlace, Mark, StorePlace


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
