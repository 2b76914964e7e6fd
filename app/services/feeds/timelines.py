"""Reading timelines. The pull path defines the feed, the push path makes it fast (decision 3).

home(A) = posts by A and by the accounts A follows, newest first by id, without deleted ones. Pushed posts are read from
the cached top, and below it from the feed store, whose timeline is complete down to the low watermark. Posts that may
not have been pushed are pulled from the documents and merged in: posts in flight, and posts of the authors that the
reader state lists as pulled. Everything is pulled below the low watermark, for a reader who is not awake, and while the
feed store is unavailable. So a post is in every follower's feed from its 201 on.

The order of reads matters: posts in flight, then the reader state, then the timeline. A post is pushed, or its author
marked as pulled, before its event is acknowledged; in any other order it could be in none of the three.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from app.clock import Clock
from app.ids import lowest_id
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.home_tops import HomeTops
from app.services.feeds.in_flight import InFlightPosts
from app.services.feeds.page_context import Follows, PageContext, Ways
from app.services.feeds.page_likes import Likes
from app.services.feeds.page_windows import LOWEST, Segment, Window, merged, segment_of
from app.services.feeds.timeline_rebuild import TimelineRebuild
from app.services.feeds.upward_cursor import LATE_INSERT_SECONDS, FeedCursor, advanced
from repositories.documents import DocumentStore
from repositories.errors import Unavailable
from repositories.feeds import FeedStore
from repositories.records.content import PostRef
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore

T = TypeVar("T")
# Segments read for one page: from the timeline, each four times as long as the one before; then from the documents.
ROUNDS = 3
PULLED_ROUNDS = 5
NOTHING = Segment([], None)
# Entries this close to the end of the retention may have expired already.
EXPIRY_MARGIN = timedelta(hours=1)
# Loads the items of some posts. Leaves out posts that are gone or whose author is not that of the reference.
Show = Callable[[Sequence[PostRef]], Mapping[UUID, T]]
Visible = Callable[[set[UUID]], Collection[UUID]]


class TimelinePage(Struct, Generic[T], frozen=True):
    """Newest first in both directions. `onward` is the bound of the next page in the direction of travel, or None."""

    ids: tuple[UUID, ...]
    items: tuple[T, ...]
    onward: UUID | None


class Timelines:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        tops: HomeTops,
        feed_activity: FeedActivity,
        timeline_rebuild: TimelineRebuild,
        clock: Clock,
        retention: timedelta,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._tops = tops
        self._in_flight = InFlightPosts(documents)
        self._feed_activity = feed_activity
        self._timeline_rebuild = timeline_rebuild
        self._clock = clock
        self._kept = retention - EXPIRY_MARGIN

    def look(self, reader: UUID, window: Window, ways: Ways | None = None, *, anew: bool = False) -> PageContext:
        """Read the truth that a page of the home feed depends on, and record that the reader has read the feed.

        With `ways`, the reading is not recorded; `ways` are complete once the page is made. `anew`: read the posts in
        flight even if they are remembered.
        """
        return self._look(Follows(self._relational, reader), reader, window.first_part(), ways, anew=anew)

    def awake_until(self, state: ReaderState) -> datetime:
        """The time until which an awake reader with this state is not put to sleep."""
        return self._feed_activity.awake_until(state)

    def home(self, reader: UUID, window: Window, show: Show[T], look: PageContext | None = None) -> TimelinePage[T]:
        """A page of the home feed. Unfollows, blocks and deletions take effect with the next request.

        `look`, if given, was made for the same window; it records what the page is made of.
        """
        look = look or self.look(reader, window)
        page, rounds = _fill_page(window, self._home_segments(reader, look, window), look.follows.among, show)
        if rounds > ROUNDS and look.ways is None:
            self._timeline_rebuild.request_for_stale(reader)
        return page

    def author(self, author: UUID, window: Window, show: Show[T]) -> TimelinePage[T]:
        """A page of one account's posts: its timeline, or the documents while the feed store is unavailable."""
        page, _ = _fill_page(window, self._author_segments(author, window), {author}.intersection, show)
        return page

    def cursor(self, start: FeedCursor | None, page: TimelinePage[T]) -> FeedCursor | None:
        """The cursor for paging upward from this page, which began at `start`."""
        horizon = lowest_id(self._clock() - timedelta(seconds=LATE_INSERT_SECONDS))
        return advanced(start, page.ids, page.onward, horizon)

    def _home_segments(self, reader: UUID, look: PageContext, window: Window) -> Iterator[Segment]:
        part, follows = window.first_part(), look.follows
        for _ in range(ROUNDS):
            if look.in_flight.is_passed(part):
                look.was_beyond = True
                look = self._look(follows, reader, part, look.ways)
            segment = self._pushed(reader, look, part)
            if segment is None:
                look.was_beyond = True
                segment = look.via("all_pulled", self._pulled(follows.everybody(), part))
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)
        look.was_beyond = True
        for segment in self._pulled_segments(follows.everybody(), part):
            yield look.via("all_pulled", segment)

    def _author_segments(self, author: UUID, window: Window) -> Iterator[Segment]:
        part = window.first_part()
        in_flight = self._in_flight.by([author], part)
        for _ in range(ROUNDS):
            if in_flight.is_passed(part):
                in_flight = self._in_flight.by([author], part)
            try:
                written = segment_of(self._feeds.author_page(author, **part.bounds), part.limit)
                segment = merged([written, in_flight.rest(part)], part)
            except Unavailable:
                segment = self._pulled([author], part)
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)
        yield from self._pulled_segments([author], part)

    def _pulled_segments(self, authors: Collection[UUID], part: Window) -> Iterator[Segment]:
        """Segments from the documents, for a stale timeline."""
        for _ in range(PULLED_ROUNDS):
            segment = self._pulled(authors, part)
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)

    def _look(
        self, follows: Follows, reader: UUID, part: Window, ways: Ways | None, *, anew: bool = False
    ) -> PageContext:
        last = None if anew else self._in_flight.remembered()
        in_flight = last.posts if last else NOTHING
        state = self._state(reader, follows, in_flight)
        if last is None or state.published != last.published:
            in_flight = self._in_flight.read(state.published)
            if in_flight.end is not None:
                in_flight = self._in_flight.by(follows.everybody(), part)
            # The state has to be read after the posts in flight; the first one was read for its count.
            state = self._state(reader, follows, in_flight)
        if ways is None:
            self._feed_activity.record_read(reader, state)
        oldest = lowest_id(self._clock() - self._kept)
        low, likes = max(state.low_watermark or LOWEST, oldest), Likes(self._relational, reader)
        return PageContext(follows, likes, in_flight, state, low, ways)

    def _state(self, reader: UUID, follows: Follows, in_flight: Segment) -> ReaderState:
        authors = {ref.author_id for ref in in_flight.refs}
        state = self._relational.feed_activity.reader_state(reader, authors)
        follows.note(authors, state.followed)
        return state

    def _pushed(self, reader: UUID, look: PageContext, part: Window) -> Segment | None:
        """The top or the timeline, merged with posts that may not have been pushed. None if the pushed timeline is not
        complete here, or unavailable.
        """
        state, low = look.state, look.low_watermark
        if state.state != "awake":
            return None
        pulled = [look.via("author_pulled", self._pulled(state.pulled, part))] if state.pulled else []
        rest = [*pulled, look.via("in_flight", look.in_flight.rest(part))]
        try:
            if found := self._from_top(reader, look, part):
                return merged([look.via("top", found), *rest], part)
            look.was_beyond = True
            if part.starts_below(low):
                return None
            refs = self._feeds.home_page(reader, **part.bounds, low_watermark=low)
        except Unavailable:
            return None
        return merged([look.via("timeline", segment_of(refs, part.limit)), *rest], part, low)

    def _from_top(self, reader: UUID, look: PageContext, part: Window) -> Segment | None:
        found = look.top.segment(part) if look.top else None
        if look.top is None or (found is None and look.top.grows):
            # A page made of two tops, filled at different times, may not be kept.
            look.was_beyond = look.was_beyond or look.top is not None
            look.top = self._tops.of(reader, look.state, look.low_watermark, part, look.likes)
            found = look.top.segment(part) if look.top else None
        if found is not None:
            authors = {ref.author_id for ref in found.refs}
            look.follows.note(authors, authors)
        return found

    def _pulled(self, authors: Collection[UUID], part: Window) -> Segment:
        return segment_of(self._documents.posts.by_authors(authors, **part.bounds), part.limit)


def _fill_page(
    window: Window, segments: Iterator[Segment], visible: Visible, show: Show[T]
) -> tuple[TimelinePage[T], int]:
    """Read segments until they yield the page and one post more; load the items once there are enough references.

    Returns the page and the number of segments read. `segments` is finite, so a short page may have an `onward`.
    """
    shown: dict[UUID, T] = {}
    waiting: list[PostRef] = []
    wanted, rounds, end = window.limit + 1, 0, None

    def is_short() -> bool:
        return len(shown) + len(waiting) < wanted

    def sift() -> None:
        authors = visible({ref.author_id for ref in waiting}) if waiting else ()
        waiting[:] = [ref for ref in waiting if ref.author_id in authors]

    def look() -> None:
        while waiting and len(shown) < wanted:
            some, waiting[:] = waiting[:wanted], waiting[wanted:]
            found = show(some)
            shown.update({ref.post_id: found[ref.post_id] for ref in some if ref.post_id in found})

    for segment in segments:
        rounds, end = rounds + 1, segment.end
        waiting += filter(window.shows, segment.refs)
        if not is_short():
            sift()
        if not is_short():
            look()
        if len(shown) >= wanted:
            break
    sift()
    look()
    ids = list(shown)[: window.limit]
    onward = ids[-1] if len(shown) > window.limit else end
    if window.upward:
        ids.reverse()
    return TimelinePage(tuple(ids), tuple(shown[i] for i in ids), onward), rounds
