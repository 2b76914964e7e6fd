"""What a backup needs of a role that holds truths: all records of one moment out, and into an empty store.

A record is one immutable value, whose JSON by `msgspec` is the same whichever engine it comes from, and so is the order
of the records of a kind. Leases are left out: what was being worked on is due again.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol


class RecordKind(NamedTuple):
    """`members` are the names of what an array of this kind has, in order; `record` is the type to decode it as."""

    name: str
    members: tuple[str, ...]
    record: Any


class Frozen(NamedTuple):
    """A store as it is at one moment, whatever is written meanwhile. `at` is that moment by the store's clock, where it
    has one. `records` gives those of the kind of this name, in batches.
    """

    at: datetime | None
    records: Callable[[str], Iterator[Sequence[Any]]]


Load = Callable[[str, Sequence[Any]], None]


class Dump(Protocol):
    # In the order in which they are loaded: each refers to what is before it.
    kinds: Sequence[RecordKind]

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Frozen]:
        """The moment is that of entering the block. Raises `Unavailable` when the engine does not keep it as long."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no record of any kind."""

    @abstractmethod
    def loading(self) -> AbstractContextManager[Load]:
        """Loads records of the kind of this name. Kinds come in order, records in that of the snapshot.

        The relational role loads all or nothing, when the block ends. Documents are loaded batch by batch; those that
        are there already stay as they are, so a load that was cut off may be run again.
        """
