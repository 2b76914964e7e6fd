"""Posts in flight: published, but not yet in every follower's timeline. They are read from the documents.

A process remembers them for as long as the reader state shows that no other post was published. In that time posts can
only leave the set. One that has left is pushed or pulled by then, so a page may find it twice, but shows it once.
"""

import time
from collections.abc import Callable, Collection
from uuid import UUID

from msgspec import Struct

from app.services.feeds.page_windows import Segment, Window, segment_of
from repositories.documents import DocumentStore

# Posts in flight of all authors that are read at most; if there are more, only those of followees are read.
MOST = 200
# How long they are remembered: posts that have left in the meantime make pages slower.
SECONDS = 0.25


class Remembered(Struct, frozen=True):
    """All posts in flight, read at `at` (monotonic seconds) after the count of published posts was `published`."""

    posts: Segment
    published: int
    at: float


class InFlightPosts:
    def __init__(self, documents: DocumentStore, seconds: Callable[[], float] = time.monotonic) -> None:
        self._documents = documents
        self._seconds = seconds
        self._last: Remembered | None = None

    def remembered(self) -> Remembered | None:
        """The remembered posts, if they are recent. Valid only if a reader state read after this has the same count."""
        last = self._last
        return last if last is not None and self._seconds() - last.at < SECONDS else None

    def read(self, published: int) -> Segment:
        """Read all posts in flight; with `MOST` or more it may be incomplete. `published` was read before this call."""
        at = self._seconds()
        found = segment_of(self._documents.posts.in_flight(None, limit=MOST), MOST)
        self._last = Remembered(found, published, at) if found.end is None else None
        return found

    def by(self, authors: Collection[UUID], part: Window) -> Segment:
        """Posts in flight of these authors, within `part`."""
        return segment_of(self._documents.posts.in_flight(authors, **part.bounds), part.limit)
