"""Reading timelines. The pull path is the definition, the push path is the optimisation.

home(A) = posts by A and by whom A follows, newest first by id, without deleted ones. What was pushed is read from
the feed store, complete down to a floor. What was not pushed yet is pulled from the documents: posts in flight
(their publication not told yet) and whole authors whose back-fill is not done. Below the floor, and when the feed
store is away, everything is pulled. So a post is in every follower's feed from its 201 on, relay or no relay.

The order of reads matters: pending work first, the pushed timeline after it. Work that finishes in between is
then in the timeline; the other way round it would be in neither.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.clock import Clock
from app.ids import lowest_id
from repositories.documents import Documents
from repositories.errors import Unavailable
from repositories.feeds import Feeds
from repositories.records import Post, PostRef
from repositories.relational import Relational

ROUNDS = 8
LOWEST = UUID(int=0)
EXPIRY_MARGIN = timedelta(hours=1)


class Window(Struct, frozen=True):
    """Where a page starts and how long it is: below `before`, or above `after`, or from the top."""

    limit: int
    before: UUID | None = None
    after: UUID | None = None

    @property
    def upward(self) -> bool:
        return self.after is not None


class TimelinePage(Struct, frozen=True):
    """Newest first, whichever way the page was reached. `onward` continues in the direction of travel."""

    posts: tuple[Post, ...]
    onward: UUID | None


class Stretch(Struct, frozen=True):
    """A run of references in the direction of travel, complete up to `end`; None means to the very end."""

    refs: list[PostRef]
    end: UUID | None


class Timelines:
    def __init__(
        self, relational: Relational, documents: Documents, feeds: Feeds, clock: Clock, retention: timedelta
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._clock = clock
        self._kept = retention - EXPIRY_MARGIN

    def home(self, reader: UUID, window: Window) -> TimelinePage:
        """The reader's home feed. Unfollows, blocks and deletions count from the next request on."""
        followees = self._relational.graph.followees(reader)
        authors = {reader, *followees}
        unfilled = [a for a, filled in followees.items() if not filled]
        return self._page(window, lambda part: self._home_stretch(reader, authors, unfilled, part))

    def author(self, author: UUID, window: Window) -> TimelinePage:
        """One account's posts, from its timeline; from the documents while the feed store is away."""
        return self._page(window, lambda part: self._author_stretch(author, part))

    def _page(self, window: Window, fetch: Callable[[Window], Stretch]) -> TimelinePage:
        """Fetch and check until the page is full. Bounded: a page of many removed posts may come out short."""
        posts: list[Post] = []
        part = replace(window, limit=window.limit + 1)
        for _ in range(ROUNDS):
            stretch = fetch(part)
            posts += self._existing(stretch.refs)
            if len(posts) > window.limit or stretch.end is None:
                break
            part = _onward(part, stretch.end)
        full = posts[: window.limit]
        onward = full[-1].id if len(posts) > window.limit else stretch.end
        return TimelinePage(tuple(reversed(full) if window.upward else full), onward)

    def _existing(self, refs: list[PostRef]) -> list[Post]:
        found = self._documents.posts.get([r.post_id for r in refs]) if refs else {}
        return [found[r.post_id] for r in refs if r.post_id in found]

    def _home_stretch(
        self, reader: UUID, authors: Collection[UUID], unfilled: Collection[UUID], part: Window
    ) -> Stretch:
        waiting = [self._in_flight(authors, part)]
        if unfilled:
            waiting.append(self._pulled(unfilled, part))
        try:
            floor = max(self._feeds.floor(reader) or LOWEST, lowest_id(self._clock() - self._kept))
            if _below(part, floor):
                return self._pulled(authors, part)
            pushed = _stretch(self._feeds.home_page(reader, **_span(part)), part.limit)
        except Unavailable:
            return self._pulled(authors, part)
        known = _merge([*waiting, pushed], part, floor)
        return replace(known, refs=[r for r in known.refs if r.author_id in authors])

    def _author_stretch(self, author: UUID, part: Window) -> Stretch:
        waiting = self._in_flight([author], part)
        try:
            written = _stretch(self._feeds.author_page(author, **_span(part)), part.limit)
        except Unavailable:
            return self._pulled([author], part)
        return _merge([waiting, written], part, None)

    def _in_flight(self, authors: Collection[UUID], part: Window) -> Stretch:
        return _stretch(self._documents.posts.in_flight(authors, **_span(part)), part.limit)

    def _pulled(self, authors: Collection[UUID], part: Window) -> Stretch:
        return _stretch(self._documents.posts.by_authors(authors, **_span(part)), part.limit)


class _Span(TypedDict):
    before: UUID | None
    after: UUID | None
    limit: int


def _span(part: Window) -> _Span:
    return {"before": part.before, "after": part.after, "limit": part.limit}


def _stretch(refs: list[PostRef], limit: int) -> Stretch:
    """What a store answered to a window: when it is shorter than asked for, there is nothing behind it."""
    return Stretch(refs, refs[-1].post_id if len(refs) == limit else None)


def _onward(part: Window, end: UUID) -> Window:
    return replace(part, after=end) if part.upward else replace(part, before=end)


def _below(part: Window, floor: UUID) -> bool:
    """Whether the window starts under the floor, where the pushed timeline promises nothing."""
    start = part.after if part.upward else part.before
    return start is not None and (start < floor if part.upward else start <= floor)


def _merge(stretches: Iterable[Stretch], part: Window, floor: UUID | None) -> Stretch:
    """One stretch of several: as far as all of them reach, and downward no further than the floor."""
    parts = list(stretches)
    ends = [s.end for s in parts if s.end is not None]
    if floor is not None and not part.upward:
        ends.append(floor)
    refs = {r.post_id: r for s in parts for r in s.refs}
    if not ends:
        end = None
    else:
        end = min(ends) if part.upward else max(ends)
        refs = {i: r for i, r in refs.items() if (i <= end if part.upward else i >= end)}
    return Stretch([refs[i] for i in sorted(refs, reverse=not part.upward)], end)
