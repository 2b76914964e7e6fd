"""Reading timelines. The pull path is the definition, the push path is the optimisation.

home(A) = posts by A and by whom A follows, newest first by id, without deleted ones. What was pushed is read from
the feed store, complete down to a floor. What may not have been pushed is pulled from the documents: posts in
flight (their publication not dispatched yet), and the posts of single authors that the reader's standing names. Of a
reader who is not awake, below the floor, and when the feed store is away, everything is pulled. So a post is in
every follower's feed from its 201 on, relay or no relay.

The order of reads matters: posts in flight, then the standing, then the timeline. What is dispatched in between was
pushed or marked before it was acknowledged; the other way round it would be in none of the three.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.clock import Clock
from app.ids import lowest_id
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.upward_cursor import LATE_INSERT_SECONDS, FeedCursor, advanced, id_prefix
from repositories.documents import Documents
from repositories.errors import Unavailable
from repositories.feeds import FeedStore
from repositories.records import Post, PostRef
from repositories.relational import Relational

# Rounds of the timeline, each four times as long as the one before, and then of the documents.
ROUNDS = 3
PULLED_ROUNDS = 5
FEWEST = 32
GROWTH = 4
# In flight are few unless the relay is behind; of more than these only the reader's own are asked for.
IN_FLIGHT = 200
LOWEST = UUID(int=0)
EXPIRY_MARGIN = timedelta(hours=1)


class Window(Struct, frozen=True):
    """Where a page starts and how long it is: below `before`, or above `after`, or from the top.

    `hidden` are posts above `after` that the reader has already, as `settling.cut` leaves their ids.
    """

    limit: int
    before: UUID | None = None
    after: UUID | None = None
    hidden: frozenset[UUID] = frozenset()

    @property
    def upward(self) -> bool:
        return self.after is not None


class TimelinePage(Struct, frozen=True):
    """Newest first, whichever way the page was reached. `onward` continues in the direction of travel."""

    posts: tuple[Post, ...]
    onward: UUID | None


class Segment(Struct, frozen=True):
    """A run of references in the direction of travel, complete up to `end`; None means to the very end."""

    refs: list[PostRef]
    end: UUID | None


Fetch = Callable[[Window], Segment]
Visible = Callable[[Collection[UUID]], Collection[UUID]]


class Timelines:
    def __init__(
        self,
        relational: Relational,
        documents: Documents,
        feeds: FeedStore,
        feed_activity: FeedActivity,
        clock: Clock,
        retention: timedelta,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._feed_activity = feed_activity
        self._clock = clock
        self._kept = retention - EXPIRY_MARGIN

    def home(self, reader: UUID, window: Window) -> TimelinePage:
        """The reader's home feed. Unfollows, blocks and deletions count from the next request on."""
        page, is_stale = self._page(
            window,
            lambda part: self._home_segment(reader, part),
            lambda part: self._pulled(self._followed(reader), part),
            lambda authors: self._still_followed(reader, authors),
        )
        if is_stale:
            self._feed_activity.rebuild_stale(reader)
        return page

    def author(self, author: UUID, window: Window) -> TimelinePage:
        """One account's posts, from its timeline; from the documents while the feed store is away."""
        page, _ = self._page(
            window,
            lambda part: self._author_segment(author, part),
            lambda part: self._pulled([author], part),
            lambda authors: authors,
        )
        return page

    def place(self, start: FeedCursor | None, page: TimelinePage) -> FeedCursor | None:
        """Where a reader of this page is, to page upward from."""
        horizon = lowest_id(self._clock() - timedelta(seconds=LATE_INSERT_SECONDS))
        return advanced(start, [post.id for post in page.posts], page.onward, horizon)

    def _page(self, window: Window, fetch: Fetch, pull: Fetch, visible: Visible) -> tuple[TimelinePage, bool]:
        """Fetch and check until the page is full, from the documents when the timeline has little that shows.

        Also tells whether that was so. Bounded: the page may come out short, and says where to go on.
        """
        posts: list[Post] = []
        part = replace(window, limit=max(window.limit + 1 + len(window.hidden), FEWEST))
        for number in range(ROUNDS + PULLED_ROUNDS):
            segment = (fetch if number < ROUNDS else pull)(part)
            refs = [r for r in segment.refs if not window.hidden or id_prefix(r.post_id) not in window.hidden]
            posts += self._shown(refs, visible, window.limit + 1 - len(posts))
            if len(posts) > window.limit or segment.end is None:
                break
            part = _onward(part, segment.end)
        full = posts[: window.limit]
        onward = full[-1].id if len(posts) > window.limit else segment.end
        return TimelinePage(tuple(reversed(full) if window.upward else full), onward), number >= ROUNDS

    def _shown(self, refs: list[PostRef], visible: Visible, wanted: int) -> list[Post]:
        """The first `wanted` that exist, or more, by authors whom the reader may see."""
        authors = visible({r.author_id for r in refs}) if refs else ()
        rest, posts = [r.post_id for r in refs if r.author_id in authors], list[Post]()
        while rest and len(posts) < wanted:
            some, rest = rest[:wanted], rest[wanted:]
            found = self._documents.posts.get(some)
            posts += [found[i] for i in some if i in found]
        return posts

    def _followed(self, reader: UUID) -> set[UUID]:
        return {reader, *self._relational.graph.followees(reader)}

    def _still_followed(self, reader: UUID, authors: Collection[UUID]) -> set[UUID]:
        others = set(authors) - {reader}
        relations = self._relational.graph.relations(reader, others) if others else {}
        return {reader, *(author for author, relation in relations.items() if relation.following)}

    def _home_segment(self, reader: UUID, part: Window) -> Segment:
        waiting = [self._all_in_flight(reader, part)]
        reader_state = self._relational.feed_activity.reader_state(reader)
        self._feed_activity.record_read(reader, reader_state)
        low_watermark = max(reader_state.low_watermark or LOWEST, lowest_id(self._clock() - self._kept))
        if reader_state.state != "awake" or _below(part, low_watermark):
            return self._pulled(self._followed(reader), part)
        if reader_state.pulled:
            waiting.append(self._pulled(reader_state.pulled, part))
        try:
            pushed = _segment(
                self._feeds.home_page(reader, **_span(part), low_watermark=_under(low_watermark)), part.limit
            )
        except Unavailable:
            return self._pulled(self._followed(reader), part)
        return _merge([*waiting, pushed], part, low_watermark)

    def _author_segment(self, author: UUID, part: Window) -> Segment:
        waiting = self._in_flight([author], part)
        try:
            written = _segment(self._feeds.author_page(author, **_span(part)), part.limit)
        except Unavailable:
            return self._pulled([author], part)
        return _merge([waiting, written], part, None)

    def _all_in_flight(self, reader: UUID, part: Window) -> Segment:
        """Everybody's where they are few, for then nobody need know whom the reader follows."""
        found = _segment(self._documents.posts.in_flight(None, **_span(replace(part, limit=IN_FLIGHT))), IN_FLIGHT)
        return found if found.end is None else self._in_flight(self._followed(reader), part)

    def _in_flight(self, authors: Collection[UUID], part: Window) -> Segment:
        return _segment(self._documents.posts.in_flight(authors, **_span(part)), part.limit)

    def _pulled(self, authors: Collection[UUID], part: Window) -> Segment:
        return _segment(self._documents.posts.by_authors(authors, **_span(part)), part.limit)


class _Span(TypedDict):
    before: UUID | None
    after: UUID | None
    limit: int


def _span(part: Window) -> _Span:
    return {"before": part.before, "after": part.after, "limit": part.limit}


def _segment(refs: list[PostRef], limit: int) -> Segment:
    """What a store answered to a window: when it is shorter than asked for, there is nothing behind it."""
    return Segment(refs, refs[-1].post_id if len(refs) == limit else None)


def _onward(part: Window, end: UUID) -> Window:
    part = replace(part, limit=part.limit * GROWTH)
    return replace(part, after=end) if part.upward else replace(part, before=end)


def _below(part: Window, low_watermark: UUID) -> bool:
    """Whether the window starts under the floor, where the pushed timeline promises nothing."""
    start = part.after if part.upward else part.before
    return start is not None and (start < low_watermark if part.upward else start <= low_watermark)


def _under(low_watermark: UUID) -> UUID | None:
    """Just below a floor, since an entry that is the floor itself is served."""
    return UUID(int=low_watermark.int - 1) if low_watermark > LOWEST else None


def _merge(segments: Iterable[Segment], part: Window, low_watermark: UUID | None) -> Segment:
    """One stretch of several: as far as all of them reach, and downward no further than the floor."""
    parts = list(segments)
    ends = [s.end for s in parts if s.end is not None]
    if low_watermark is not None and not part.upward:
        ends.append(low_watermark)
    refs = {r.post_id: r for s in parts for r in s.refs}
    if not ends:
        end = None
    else:
        end = min(ends) if part.upward else max(ends)
        refs = {i: r for i, r in refs.items() if (i <= end if part.upward else i >= end)}
    return Segment([refs[i] for i in sorted(refs, reverse=not part.upward)], end)
