"""The cursor of a reader who pages upward, towards newer posts.

A post's id is made before the post is stored, so for some seconds a post may appear below a newer one that was already
shown. A cursor is therefore a position so far back that nothing is inserted below it any more, and the ids above it
that the reader has seen.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

# A post is stored within this time after its id was made: the write's deadline and clock skew.
LATE_INSERT_SECONDS = 10
# Ids in a cursor at most: thirty posts a second in one feed. Beyond that the position moves up early.
MAX_SEEN = 300
# Low bits of an id that a cursor leaves out. It keeps the microsecond, unique per process, and 30 random bits.
DROPPED_BITS = 32


class FeedCursor(Struct, frozen=True):
    """Nothing appears below `after` any more. `seen` are the `id_prefix` of seen ids above it, newest first."""

    after: UUID
    seen: tuple[UUID, ...] = ()


def id_prefix(post_id: UUID) -> UUID:
    """The id with its low `DROPPED_BITS` set to zero."""
    return UUID(int=post_id.int >> DROPPED_BITS << DROPPED_BITS)


def advanced(start: FeedCursor | None, shown: Sequence[UUID], reached: UUID | None, horizon: UUID) -> FeedCursor | None:
    """The cursor after a page that began at `start` (None: a page from the top) and showed `shown`.

    Below `horizon` nothing is inserted any more. `reached` is how far up the page looked; None means to the newest
    post. Returns None when there is neither a start nor anything shown.
    """
    if start is None and not shown:
        return None
    known = sorted({*map(id_prefix, shown), *(start.seen if start else ())}, reverse=True)
    lowest = start.after if start else min(shown)
    highest = max([lowest, *shown, *map(_above, known[:1]), *([reached] if start and reached else [])])
    after = max(lowest, min(horizon, highest), *map(_above, known[MAX_SEEN : MAX_SEEN + 1]))
    return FeedCursor(after, tuple(i for i in known if i > id_prefix(after)))


def _above(prefix: UUID) -> UUID:
    """The highest id with this prefix."""
    return UUID(int=prefix.int | (1 << DROPPED_BITS) - 1)
