"""What an engine says of its own state, for `quartet doctor advice`: things with names and figures.

An observer asks one server, or the file, that some roles are on. What is too much of anything is not decided here.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from repositories.errors import StoreError

# Of each question to an engine: statistics may take longer than what a request may wait for.
SECONDS: Final = 5.0


class Subject(Struct, frozen=True):
    """One thing that an engine keeps figures of. `kind` says what it is: `table`, `index`, `statement`, `server`.

    `figures` are numbers, with shares from 0 to 1, sizes in bytes and times in seconds; `words` are names and settings.
    A figure that the engine does not know is left out. A `level` has a `value` and, where there is one, a `limit`.
    """

    kind: str
    name: str
    figures: Mapping[str, float] = {}
    words: Mapping[str, str] = {}


class Observed(Struct, frozen=True):
    """`notes` say in one line each what could not be read, and how it is turned on."""

    engine: str
    place: str
    subjects: tuple[Subject, ...]
    notes: tuple[str, ...]


class Unread(Exception):
    """The engine does not keep this, or does not show it to this user. Says how to have it."""


Question = Callable[[], Iterable[Subject]]


class EngineObserver(Protocol):
    """`place` names the server without anything secret. Each question has a deadline of `SECONDS`."""

    engine: str
    place: str

    @abstractmethod
    def questions(self) -> Mapping[str, Question]:
        """By what each reads, for people. They raise `StoreError` and `Unread`. The first fails only if all would."""

    @abstractmethod
    def close(self) -> None: ...


def observe(observer: EngineObserver) -> Observed:
    """Ask everything. What is not answered is a note."""
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
    """Without those that the engine does not know."""
    return {name: float(value) for name, value in figures.items() if value is not None}
