"""A place is one role's store at one URL. A move copies it to another place while it serves, and then switches.

The mark of a place says whether it is the truth of its role. It is kept in the place itself, so whoever comes with its
URL finds it: `open` is the truth, as is a place without a mark; `leaving` is the truth too, and its changes are noted;
`incoming` is being filled, and `moved` was the truth. These two take no writes, and `url` says where the truth is.

The move is done when the old place is `moved`: one write in one store. `epoch` counts the moves, so that a place to
which the role comes back knows that its own mark is the older one.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from repositories.dump_port import Load, RecordKind

State = Literal["open", "leaving", "incoming", "moved"]
# Those that refuse writes.
CLOSED: Final = ("incoming", "moved")
Key = tuple[Any, ...]
Changed = Mapping[str, Collection[Key]]
OfKeys = Callable[[str, Sequence[Key]], list[Any]]


class Overtaken(Exception):
    """Another move of the same role has begun since, or has ended."""


class Mark(Struct, frozen=True):
    """`url` is that of the other place, and has its password. `move` is the id of the move."""

    state: State
    epoch: int = 0
    url: str = ""
    move: str = ""


class FrozenPlace(NamedTuple):
    """A place as it is at one moment. `records` gives those of a kind in their order, in batches; `of_keys` those with
    these keys that are there. `changed` are the keys that had been noted by then, by the notes with these numbers.

    A store that keeps no moment leaves out of `records` what was changed meanwhile, and `unsure` names it afterwards.
    """

    records: Callable[[str], Iterator[Sequence[Any]]]
    of_keys: OfKeys
    changed: Changed
    notes: Sequence[int] = ()
    unsure: Changed = MappingProxyType({})


class StorePlace(Protocol):
    """The methods of a source raise `Overtaken` when the mark is not that of the move."""

    # In the order in which they are loaded.
    kinds: Sequence[RecordKind]

    @abstractmethod
    def key(self, kind: str, record: Any) -> Key: ...

    def compared(self, kind: str, record: Any) -> Any:  # noqa: ARG002  for those that leave something out
        """What is counted and compared of a record. None for one that may end in one place before the other."""
        return record

    @abstractmethod
    def mark(self) -> Mark | None:
        """None where no move has begun or ended. Cheap, since every process looks at it all the time."""

    @abstractmethod
    def open(self, epoch: int) -> None:
        """Let the place be the truth, unless its mark is of a later epoch. Repeated without harm."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no record of any kind."""

    @abstractmethod
    def tidy(self, move: str = "") -> None:
        """Take away what a move has left in a place that is the truth, also one that was given up. Raises `Overtaken`
        or does nothing in one that was left, and where `move` is named and another one has begun there since.
        """

    # Of the old place.

    @abstractmethod
    def capture(self, mark: Mark) -> None:
        """Note every change from now on, and forget what was noted for an earlier move. The mark is `leaving`.

        Raises `Overtaken` where the place is not the truth any more. That is looked at when the mark is written, in the
        same step: of two moves at once one has come first.
        """

    @abstractmethod
    def moment(self) -> AbstractContextManager[FrozenPlace]: ...

    @abstractmethod
    def forget(self, moment: FrozenPlace) -> None:
        """What had been noted by that moment is in the new place."""

    @abstractmethod
    def switching(self, mark: Mark) -> AbstractContextManager[None]:
        """Inside the block nobody else writes, and reads go on. When it ends the place has this mark, which is `moved`;
        when it raises or the process dies, all is as before. Raises `Contention` when it waits for writers too long.
        """

    @abstractmethod
    def release(self) -> None:
        """The move is given up: nothing is noted any more."""

    # Of the new place.

    @abstractmethod
    def receive(self, mark: Mark) -> None:
        """Refuse the writes of others, and remove all records. The mark is `incoming`."""

    @abstractmethod
    def loading(self) -> AbstractContextManager[Load]:
        """As `Dump.loading`, of an `incoming` place."""

    @abstractmethod
    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        """Make the records with these keys what `of_keys` returns; those that it does not return are removed."""
