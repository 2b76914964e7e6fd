"""What an engine reports about its own state, for `quartet doctor advice`: named subjects with figures.

An observer queries one server or file, which may hold several roles. It applies no thresholds; the advice rules do.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from repositories.errors import StoreError

# The deadline of each query: reading statistics may take longer than a request may wait.
SECONDS: Final = 5.0


class Subject(Struct, frozen=True):
    """Something an engine has statistics about. `kind` says what it is: `table`, `index`, `statement`, `server`.

    `figures` are numbers: shares from 0 to 1, sizes in bytes, times in seconds. `words` are names and settings. A
    figure that the engine does not report is left out. The kind `level` has a `value` and, if it is limited, a `limit`.
    """

    kind: str
    name: str
    figures: Mapping[str, float] = {}
    words: Mapping[str, str] = {}


class Observed(Struct, frozen=True):
    """The answers of one observer. `notes` say, one line each, what could not be read and how to enable it."""

    engine: str
    place: str
    subjects: tuple[Subject, ...]
    notes: tuple[str, ...]


class Unread(Exception):
    """The engine does not collect this, or does not show it to this user. The message says how to change that."""


Question = Callable[[], Iterable[Subject]]


class EngineObserver(Protocol):
    """`place` names the server without anything secret. Each question has a deadline of `SECONDS`."""

    engine: str
    place: str

    @abstractmethod
    def questions(self) -> Mapping[str, Question]:
        """The queries, by a label for display. They raise `StoreError` and `Unread`. If the first fails, all would."""

    @abstractmethod
    def close(self) -> None: ...


def observe(observer: EngineObserver) -> Observed:
    """Run all queries. Each failure becomes a note; if the first fails, the others are not tried."""
    subjects: list[Subject] = []
    notes: list[str] = []
    for number, (reads, ask) in enumerate(observer.questions().items()):
        try:
            subjects += ask()
        except (Unread, StoreError) as error:
            notes.append(str(error) if isinstance(error, Unread) else f"{reads}: {error}")
            if number == 0:
                break
    return Observed(observer.engine, observer.place, tuple(subjects), tuple(notes))


def known(figures: Mapping[str, float | None]) -> dict[str, float]:
    """The figures without those that the engine does not report (None)."""
    return {name: float(value) for name, value in figures.items() if value is not None}
