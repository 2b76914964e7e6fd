"""Where a reader is who pages upward.

Ids are made a little before their posts are stored, so for some seconds a post may appear below a newer one. A place
is therefore a position below which nothing appears any more, and the ids above it that the reader has already.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

# Longer than the deadline of the write that stores a post, and servers' clocks differ.
SETTLED_AFTER_SECONDS = 10
# More ids than these are not carried; a burst of that size settles at once.
CARRIED = 100


class Place(Struct, frozen=True):
    after: UUID
    seen: tuple[UUID, ...] = ()


def arrived(start: Place | None, shown: Sequence[UUID], reached: UUID | None, horizon: UUID) -> Place | None:
    """The place of whoever came from `start` (None: from above) and was shown these; below `horizon` all is settled.

    `reached` is how far up the page looked, when not to the very end. None when there is neither a start nor
    anything shown.
    """
    known = sorted({*shown, *(start.seen if start else ())}, reverse=True)
    if start is None and not known:
        return None
    lowest = start.after if start else known[-1]
    highest = max([lowest, *known[:1], *([reached] if start and reached else [])])
    after = max(lowest, min(horizon, highest), *known[CARRIED : CARRIED + 1])
    return Place(after, tuple(i for i in known if i > after))
