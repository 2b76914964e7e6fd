"""Windows of a timeline that a page asks for, and the segments of post references that stores return."""

from collections.abc import Iterable
from typing import Self, TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.services.feeds.upward_cursor import id_prefix
from repositories.records.content import PostRef

FEWEST = 32
GROWTH = 4
LOWEST = UUID(int=0)


class PageBounds(TypedDict):
    before: UUID | None
    after: UUID | None
    limit: int


class Window(Struct, frozen=True):
    """`limit` posts below `before`, or above `after`, or from the top.

    `hidden` are the `id_prefix` of posts above `after` that the reader has seen.
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
    def bounds(self) -> PageBounds:
        return {"before": self.before, "after": self.after, "limit": self.limit}

    def first_part(self) -> Self:
        """The window to read first: the page, the hidden posts and one more, but at least `FEWEST`."""
        return replace(self, limit=max(self.limit + 1 + len(self.hidden), FEWEST))

    def next_part(self, end: UUID) -> Self:
        """The window to read after a segment that ended at `end`: `GROWTH` times as long."""
        part = replace(self, limit=self.limit * GROWTH)
        return replace(part, after=end) if self.upward else replace(part, before=end)

    def starts_below(self, low_watermark: UUID) -> bool:
        """Whether it starts where the pushed timeline is not complete."""
        if self.start is None:
            return False
        return self.start < low_watermark if self.upward else self.start <= low_watermark

    def shows(self, ref: PostRef) -> bool:
        return not self.hidden or id_prefix(ref.post_id) not in self.hidden


class Segment(Struct, frozen=True):
    """References in the direction of travel, without gaps up to `end`; None means to the end of the timeline."""

    refs: list[PostRef]
    end: UUID | None

    def is_passed(self, part: Window) -> bool:
        """Whether `part` starts at the end of this segment or beyond it."""
        if self.end is None or part.start is None:
            return False
        return part.start >= self.end if part.upward else part.start <= self.end

    def rest(self, part: Window) -> Self:
        """The references beyond the start of `part`."""
        start = part.start
        if start is None:
            return self
        refs = [r for r in self.refs if (r.post_id > start if part.upward else r.post_id < start)]
        return replace(self, refs=refs)


def segment_of(refs: list[PostRef], limit: int) -> Segment:
    """A store's answer as a segment. An answer shorter than `limit` reaches the end of the timeline."""
    return Segment(refs, refs[-1].post_id if len(refs) == limit else None)


def merged(segments: Iterable[Segment], part: Window, low_watermark: UUID | None = None) -> Segment:
    """The union of several segments, up to where all of them reach, and downward not below the low watermark.

    If two disagree about a post's author, the later segment wins.
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
