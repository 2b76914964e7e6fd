"""Timelines as they are stored, for the drift doctor, which compares them with the documents and repairs them.

Reads include entries that no page shows: in the wrong partition, without an author, of a post that does not exist.
Writes carry the time of the repair instead of an event's, so that they beat any earlier change. Like all writes of the
feed store they may be repeated.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records.content import PostRef


class StoredEntry(Struct, frozen=True):
    """An entry of `owner`'s timeline, stored in `bucket`. A page finds it only if `in_place`.

    `author_id` is None if the column is empty. `written_us` is the timestamp of the write in microseconds since 1970,
    None if it is not known.
    """

    owner: UUID
    bucket: int
    post_id: UUID
    author_id: UUID | None
    in_place: bool
    written_us: int | None = None


class FeedAudit(Protocol):
    """Every method may raise `Unavailable`."""

    @abstractmethod
    def home(self, owner: UUID) -> Iterator[StoredEntry]:
        """The entries of a home timeline within the retention, in batches; those in place come newest first.

        Like pages, this skips buckets without a marker.
        """

    @abstractmethod
    def author(self, author: UUID) -> Iterator[StoredEntry]:
        """Like `home`, for an author's timeline."""

    @abstractmethod
    def restore_home(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        """Add posts like `FeedStore.fill`, and write the markers of their buckets again.

        An entry with another author is overwritten if it was written before `at`.
        """

    @abstractmethod
    def restore_author(self, posts: Sequence[PostRef], at: datetime) -> None:
        """Add posts, of any authors, to their authors' timelines, and write the markers of their buckets again."""

    @abstractmethod
    def remove_home(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        """Remove these entries with the timestamp `at`, or with that of their own write if it is later.

        So with an `at` of 1970 it removes what was read and nothing written since. The tombstone budget does not apply:
        pass few entries.
        """

    @abstractmethod
    def remove_author(self, entries: Sequence[StoredEntry], at: datetime) -> None: ...
