"""Windows on a timeline, and the segments of references that fill them."""

from collections.abc import Iterable
from typing import Self, TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.services.feeds.upward_cursor import id_prefix
from repositories.records import PostRef

FEWEST = 32
GROWTH = 4
LOWEST = UUID(int=0)


class Span(TypedDict):
    before: UUID | None
    after: UUID | None
    limit: int


class Window(Struct, frozen=True):
    """Where a page starts and how long it is: below `before`, or above `after`, or from the top.

    `hidden` are posts above `after` that the reader has already, as `id_prefix` leaves their ids.
    """

    limit: int
    before: UUID | None = None
    after: UUID | None = None
    hidden: frozenset[UUID] = frozenset()

    @property
    def upward(self) -> bool:
        return self.after is not None

    @property
    def start(self) -> UUID | None:
        return self.after if self.upward else self.before

    @property
    def span(self) -> Span:
        return {"before": self.before, "after": self.after, "limit": self.limit}

    def first_part(self) -> Self:
        """What to read first: one post more than the page has, and what is hidden."""
        return replace(self, limit=max(self.limit + 1 + len(self.hidden), FEWEST))

    def next_part(self, end: UUID) -> Self:
        """What to read after a segment that ended there: more each time."""
        part = replace(self, limit=self.limit * GROWTH)
        return replace(part, after=end) if self.upward else replace(part, before=end)

    def starts_below(self, low_watermark: UUID) -> bool:
        """Under the low watermark the pushed timeline promises nothing."""
        if self.start is None:
            return False
        return self.start < low_watermark if self.upward else self.start <= low_watermark

    def shows(self, ref: PostRef) -> bool:
        return not self.hidden or id_prefix(ref.post_id) not in self.hidden


class Segment(Struct, frozen=True):
    """A run of references in the direction of travel, complete up to `end`; None means to the very end."""

    refs: list[PostRef]
    end: UUID | None

    def rest(self, part: Window) -> Self:
        """What of it is beyond the part's start."""
        start = part.start
        if start is None:
            return self
        refs = [r for r in self.refs if (r.post_id > start if part.upward else r.post_id < start)]
        return replace(self, refs=refs)


def segment_of(refs: list[PostRef], limit: int) -> Segment:
    """What a store answered to a window: when it is shorter than asked for, there is nothing behind it."""
    return Segment(refs, refs[-1].post_id if len(refs) == limit else None)


def merged(segments: Iterable[Segment], part: Window, low_watermark: UUID | None = None) -> Segment:
    """One segment of several: as far as all of them reach, and downward no further than the low watermark.

    Where two name another author for a post, the later one is believed.
    """
    parts = list(segments)
    ends = [s.end for s in parts if s.end is not None]
    if low_watermark is not None and not part.upward:
        ends.append(low_watermark)
    refs = {r.post_id: r for s in parts for r in s.refs}
    end = (min(ends) if part.upward else max(ends)) if ends else None
    if end is not None:
        refs = {i: r for i, r in refs.items() if (i <= end if part.upward else i >= end)}
    return Segment([refs[i] for i in sorted(refs, reverse=not part.upward)], end)
