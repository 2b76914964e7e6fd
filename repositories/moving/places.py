"""The port of moving a role. A place is one role's store at one URL. A move copies a place to another one while it
serves, and then switches.

The mark of a place says whether it is the truth of its role. It is stored in the place itself, so every process that
connects to its URL finds it. In state `open` the place is the truth; so is a place without a mark. In `leaving` it is
still the truth, and its changes are noted. `incoming` is being filled; `moved` is no longer the truth. The latter two
refuse writes, and `url` is where the truth is.

A move is complete once the old place is marked `moved`: one write in one store. `epoch` counts the moves. So when a
role returns to an earlier place, that place recognizes its own mark as the older one.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from repositories.dump_port import Load, RecordKind

State = Literal["open", "leaving", "incoming", "moved"]
# The states in which a place refuses writes.
CLOSED: Final = ("incoming", "moved")
Key = tuple[Any, ...]
Changed = Mapping[str, Collection[Key]]
OfKeys = Callable[[str, Sequence[Key]], list[Any]]


class Overtaken(Exception):
    """Another move of the same role has begun or ended in the meantime."""


class Mark(Struct, frozen=True):
    """The mark of a place. `url` is that of the other place, including its password; `move` is the id of the move."""

    state: State
    epoch: int = 0
    url: str = ""
    move: str = ""


class FrozenPlace(NamedTuple):
    """A snapshot of a place. `records` yields all records of a kind, in order and in batches; `of_keys` returns the
    existing records with the given keys. `changed` are the keys noted before the snapshot, by the notes whose numbers
    are `notes`.

    A store without snapshots omits records that change during the iteration; `unsure` names their keys afterwards.
    """

    records: Callable[[str], Iterator[Sequence[Any]]]
    of_keys: OfKeys
    changed: Changed
    notes: Sequence[int] = ()
    unsure: Changed = MappingProxyType({})


class StorePlace(Protocol):
    """A place as a move uses it. The methods for the old place raise `Overtaken` if its mark is not of this move."""

    # In loading order.
    kinds: Sequence[RecordKind]

    @abstractmethod
    def key(self, kind: str, record: Any) -> Key: ...

    def compared(self, kind: str, record: Any) -> Any:  # noqa: ARG002  for those that leave something out
        """The part of a record that is counted and compared. None for a record that may expire in one place earlier
        than in the other.
        """
        return record

    @abstractmethod
    def mark(self) -> Mark | None:
        """The mark; None if no move has ever begun or ended here. Cheap, since every process polls it."""

    @abstractmethod
    def open(self, epoch: int) -> None:
        """Make the place the truth, unless its mark has a later epoch. Idempotent."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no record of any kind."""

    @abstractmethod
    def tidy(self, move: str = "") -> None:
        """Remove what a completed or abandoned move has left behind in a place that is the truth. In a place that has
        been left, or if `move` is given and another move has begun there since, raises `Overtaken` or does nothing.
        """

    # For the old place.

    @abstractmethod
    def capture(self, mark: Mark) -> None:
        """Mark the place `leaving`, note every change from now on, and discard the notes of an earlier move.

        Raises `Overtaken` if the place is no longer the truth. That is checked atomically with writing the mark, so one
        of two concurrent moves comes first.
        """

    @abstractmethod
    def moment(self) -> AbstractContextManager[FrozenPlace]: ...

    @abstractmethod
    def forget(self, moment: FrozenPlace) -> None:
        """Delete the notes of that snapshot: the changes have been copied to the new place."""

    @abstractmethod
    def switching(self, mark: Mark) -> AbstractContextManager[None]:
        """Block all other writers within the block; reads continue. When the block ends, the place gets this mark,
        which is `moved`; if the block raises or the process dies, nothing changes. Raises `Contention` if waiting for
        writers takes too long.
        """

    @abstractmethod
    def release(self) -> None:
        """Abandon the move: the place is `open` again, and changes are no longer noted."""

    # For the new place.

    @abstractmethod
    def receive(self, mark: Mark) -> None:
        """Mark the place `incoming`, refuse the writes of other processes, and remove all records."""

    @abstractmethod
    def loading(self) -> AbstractContextManager[Load]:
        """Like `Dump.loading`, for an `incoming` place."""

    @abstractmethod
    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        """Replace the records with these keys by what `of_keys` returns; remove those that it does not return."""
