"""Where a reader is who pages upward.

Ids are made a little before their posts are stored, so for some seconds a post may appear below a newer one. A place
is therefore a position below which nothing appears any more, and the ids above it that the reader has already.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

# Longer than the deadline of the write that stores a post, and servers' clocks differ.
LATE_INSERT_SECONDS = 10
# More ids than these are not carried: thirty posts a second in one feed. A larger burst settles at once.
MAX_SEEN = 300
# A cursor has room for the front of an id only: its microsecond, of which no process makes two, and 30 random bits.
DROPPED_BITS = 32


class FeedCursor(Struct, frozen=True):
    """`seen` are ids as `cut` leaves them."""

    after: UUID
    seen: tuple[UUID, ...] = ()


def id_prefix(post_id: UUID) -> UUID:
    """The front of an id, in its place."""
    return UUID(int=post_id.int >> DROPPED_BITS << DROPPED_BITS)


def advanced(start: FeedCursor | None, shown: Sequence[UUID], reached: UUID | None, horizon: UUID) -> FeedCursor | None:
    """The place of whoever came from `start` (None: from above) and was shown these; below `horizon` all is settled.

    `reached` is how far up the page looked, when not to the very end. None when there is neither a start nor
    anything shown.
    """
    if start is None and not shown:
        return None
    known = sorted({*map(id_prefix, shown), *(start.seen if start else ())}, reverse=True)
    lowest = start.after if start else min(shown)
    highest = max([lowest, *shown, *map(_above, known[:1]), *([reached] if start and reached else [])])
    after = max(lowest, min(horizon, highest), *map(_above, known[MAX_SEEN : MAX_SEEN + 1]))
    return FeedCursor(after, tuple(i for i in known if i > id_prefix(after)))


def _above(front: UUID) -> UUID:
    """No lower than any id of which this is the front: whoever is there has that post."""
    return UUID(int=front.int | (1 << DROPPED_BITS) - 1)
