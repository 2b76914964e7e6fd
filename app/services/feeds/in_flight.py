"""Posts in flight: published, and not yet in every follower's timeline. The documents know them.

A process remembers what it has read for as long as the reader state says that no other post was published. Posts only
leave; one that has left is in the timeline, and a page shows it once.
"""

import time
from collections.abc import Callable, Collection
from uuid import UUID

from msgspec import Struct

from app.services.feeds.page_windows import Segment, Window, segment_of
from repositories.documents import DocumentStore

# Up to so many are read whoever their authors are; if there are more, only those of followees.
MOST = 200
# Those that have left meanwhile make pages dearer, so all are read anew now and then.
SECONDS = 0.25


class Remembered(Struct, frozen=True):
    """All posts in flight when `published` had been counted, read at `at`."""

    posts: Segment
    published: int
    at: float


class InFlightPosts:
    def __init__(self, documents: DocumentStore, seconds: Callable[[], float] = time.monotonic) -> None:
        self._documents = documents
        self._seconds = seconds
        self._last: Remembered | None = None

    def remembered(self) -> Remembered | None:
        """To be used only if the reader state, read after this, has the same count."""
        last = self._last
        return last if last is not None and self._seconds() - last.at < SECONDS else None

    def read(self, published: int) -> Segment:
        """All posts in flight; incomplete if there are too many. `published` was read before."""
        at = self._seconds()
        found = segment_of(self._documents.posts.in_flight(None, limit=MOST), MOST)
        self._last = Remembered(found, published, at) if found.end is None else None
        return found

    def by(self, authors: Collection[UUID], part: Window) -> Segment:
        """Of these authors, within this part."""
        return segment_of(self._documents.posts.in_flight(authors, **part.bounds), part.limit)
