"""Timelines as they are stored, for whoever compares them with the truth and mends them: the drift doctor.

What ordinary reads would never show may be there too: an entry in the wrong partition, without an author, of a post
that never was. Writes here carry the time of the repair instead of an event's, so that they beat whatever was done
to the timelines behind our back before. They are upserts and removals all the same, and may be repeated.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records import PostRef


class StoredEntry(Struct, frozen=True):
    """An entry of `owner`'s timeline as it is stored in `bucket`, where a page would look for it if `in_place`.

    `author_id` is None where there is none. `written_us` is the timestamp of the write, None where it is not known.
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
        """Every entry of a home timeline within the retention that pages can reach, in batches.

        Those that are in place come newest first. Entries of a bucket that is not marked are not reached.
        """

    @abstractmethod
    def author(self, author: UUID) -> Iterator[StoredEntry]:
        """As `home`, of an author's timeline."""

    @abstractmethod
    def restore_home(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        """Deliver posts as `Feeds.fill` does, and mark their buckets anew whatever was remembered of them.

        An entry with another author is overwritten when its write was before `at`.
        """

    @abstractmethod
    def restore_author(self, posts: Sequence[PostRef], at: datetime) -> None:
        """Put posts, of any authors, on their authors' timelines, and mark their buckets anew."""

    @abstractmethod
    def remove_home(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        """Remove these very entries with the time `at`, or that of their own write where it is later.

        So the nil time removes what was written and nothing that is written later. There is no budget: they should
        be few.
        """

    @abstractmethod
    def remove_author(self, entries: Sequence[StoredEntry], at: datetime) -> None: ...
