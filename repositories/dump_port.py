"""The port for backups of a role that is a source of truth: export a snapshot of all records, load an empty store.

A record is an immutable value. Its JSON (by `msgspec`) and the order of the records of a kind are the same for every
engine. Leases are left out: work that was in progress is due again after a restore.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol


class RecordKind(NamedTuple):
    """A kind of records, encoded as arrays. `members` names the elements in order; `record` is the type to decode."""

    name: str
    members: tuple[str, ...]
    record: Any


class Frozen(NamedTuple):
    """A snapshot of a store. `at` is its time by the store's clock, None if the store has no clock.

    `records` yields the records of the named kind, in batches.
    """

    at: datetime | None
    records: Callable[[str], Iterator[Sequence[Any]]]


Load = Callable[[str, Sequence[Any]], None]


class Dump(Protocol):
    # In loading order: records refer only to kinds that come earlier.
    kinds: Sequence[RecordKind]

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Frozen]:
        """The store as of entering the block. Raises `Unavailable` if the engine cannot keep the snapshot that long."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no record of any kind."""

    @abstractmethod
    def loading(self) -> AbstractContextManager[Load]:
        """Yield a function that loads records of the named kind. Call it in the order of `kinds` and of the snapshot.

        The relational role commits everything when the block ends, or nothing. Documents are loaded batch by batch;
        existing ones are left unchanged, so an interrupted load may be run again.
        """
