"""Reading timelines. The pull path is the definition, the push path is the optimisation.

home(A) = posts by A and by whom A follows, newest first by id, without deleted ones. What was pushed is read from
the feed store, complete down to a low watermark. What may not have been pushed is pulled from the documents: posts
in flight (their publication not acknowledged yet), and the posts of single authors that the reader state names. Of a
reader who is not awake, below the low watermark, and when the feed store is away, everything is pulled. So a post is
in every follower's feed from its 201 on, relay or no relay.

The order of reads matters: posts in flight, then the reader state, then the timeline. What is acknowledged in between
was pushed or marked before that; the other way round it would be in none of the three. Each is read once for a page.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.clock import Clock
from app.ids import lowest_id
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.segments import LOWEST, Segment, Window, merged, segment_of
from app.services.feeds.upward_cursor import LATE_INSERT_SECONDS, FeedCursor, advanced
from repositories.documents import Documents
from repositories.errors import Unavailable
from repositories.feed_records import ReaderState
from repositories.feeds import FeedStore
from repositories.records import PostRef
from repositories.relational import Relational

T = TypeVar("T")
# Rounds of the timeline, each four times as long as the one before, and then of the documents.
ROUNDS = 3
PULLED_ROUNDS = 5
# In flight are few unless the relay is behind; of more than these only the reader's own are asked for.
IN_FLIGHT = 200
EXPIRY_MARGIN = timedelta(hours=1)
# What there is to show of some posts; those that are gone, or by another author than the reference says, are left out.
Show = Callable[[Sequence[PostRef]], Mapping[UUID, T]]
Visible = Callable[[set[UUID]], Collection[UUID]]


class TimelinePage(Struct, Generic[T], frozen=True):
    """Newest first, whichever way the page was reached. `onward` continues in the direction of travel."""

    ids: tuple[UUID, ...]
    items: tuple[T, ...]
    onward: UUID | None


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

    def home(self, reader: UUID, window: Window, show: Show[T]) -> TimelinePage[T]:
        """The reader's home feed. Unfollows, blocks and deletions count from the next request on."""
        follows = _Follows(self._relational, reader)
        page, rounds = _filled(window, self._home_segments(reader, follows, window), follows.among, show)
        if rounds > ROUNDS:
            self._feed_activity.rebuild_stale(reader)
        return page

    def author(self, author: UUID, window: Window, show: Show[T]) -> TimelinePage[T]:
        """One account's posts, from its timeline; from the documents while the feed store is away."""
        page, _ = _filled(window, self._author_segments(author, window), {author}.intersection, show)
        return page

    def place(self, start: FeedCursor | None, page: TimelinePage[T]) -> FeedCursor | None:
        """Where a reader of this page is, to page upward from."""
        horizon = lowest_id(self._clock() - timedelta(seconds=LATE_INSERT_SECONDS))
        return advanced(start, page.ids, page.onward, horizon)

    def _home_segments(self, reader: UUID, follows: "_Follows", window: Window) -> Iterator[Segment]:
        part = window.first_part()
        once = self._read_once(reader, follows, part)
        for _ in range(ROUNDS):
            if part.start is not None and part.start == once.in_flight.end:
                once = self._read_once(reader, follows, part)
            segment = self._pushed(reader, once, part)
            if segment is None:
                segment = self._pulled(follows.everybody(), part)
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)
        yield from self._pulled_segments(follows.everybody(), part)

    def _author_segments(self, author: UUID, window: Window) -> Iterator[Segment]:
        part = window.first_part()
        in_flight = self._in_flight([author], part)
        for _ in range(ROUNDS):
            if part.start is not None and part.start == in_flight.end:
                in_flight = self._in_flight([author], part)
            try:
                written = segment_of(self._feeds.author_page(author, **part.span), part.limit)
                segment = merged([written, in_flight.rest(part)], part)
            except Unavailable:
                segment = self._pulled([author], part)
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)
        yield from self._pulled_segments([author], part)

    def _pulled_segments(self, authors: Collection[UUID], part: Window) -> Iterator[Segment]:
        """For a timeline in which there is little that shows."""
        for _ in range(PULLED_ROUNDS):
            segment = self._pulled(authors, part)
            yield segment
            if segment.end is None:
                return
            part = part.next_part(segment.end)

    def _read_once(self, reader: UUID, follows: "_Follows", part: Window) -> "_ReadOnce":
        in_flight = self._all_in_flight(follows, part)
        state = self._relational.feed_activity.reader_state(reader)
        self._feed_activity.record_read(reader, state)
        oldest = lowest_id(self._clock() - self._kept)
        return _ReadOnce(in_flight, state, max(state.low_watermark or LOWEST, oldest))

    def _pushed(self, reader: UUID, once: "_ReadOnce", part: Window) -> Segment | None:
        """What was pushed, and what may not have been. None where the timeline promises nothing, or is away."""
        state, low = once.state, once.low_watermark
        if state.state != "awake" or part.starts_below(low):
            return None
        pulled = [self._pulled(state.pulled, part)] if state.pulled else []
        under = UUID(int=low.int - 1) if low > LOWEST else None
        try:
            refs = self._feeds.home_page(reader, **part.span, low_watermark=under)
        except Unavailable:
            return None
        return merged([segment_of(refs, part.limit), *pulled, once.in_flight.rest(part)], part, low)

    def _all_in_flight(self, follows: "_Follows", part: Window) -> Segment:
        """Everybody's where they are few, for then nobody need know whom the reader follows."""
        span = replace(part, limit=IN_FLIGHT).span
        found = segment_of(self._documents.posts.in_flight(None, **span), IN_FLIGHT)
        return found if found.end is None else self._in_flight(follows.everybody(), part)

    def _in_flight(self, authors: Collection[UUID], part: Window) -> Segment:
        return segment_of(self._documents.posts.in_flight(authors, **part.span), part.limit)

    def _pulled(self, authors: Collection[UUID], part: Window) -> Segment:
        return segment_of(self._documents.posts.by_authors(authors, **part.span), part.limit)


class _ReadOnce(Struct, frozen=True):
    """What is read once for a page, in this order. An entry at the low watermark itself is served."""

    in_flight: Segment
    state: ReaderState
    low_watermark: UUID


class _Follows:
    """Whom a reader follows, and the reader, asked once: of single authors until all are needed."""

    def __init__(self, relational: Relational, reader: UUID) -> None:
        self._graph = relational.graph
        self._reader = reader
        self._all: set[UUID] | None = None
        self._known: dict[UUID, bool] = {reader: True}

    def everybody(self) -> set[UUID]:
        if self._all is None:
            self._all = {self._reader, *self._graph.followees(self._reader)}
        return self._all

    def among(self, authors: set[UUID]) -> set[UUID]:
        if self._all is not None:
            return authors & self._all
        unknown = authors - self._known.keys()
        if unknown:
            relations = self._graph.relations(self._reader, unknown)
            self._known |= {author: relation.following for author, relation in relations.items()}
        return {author for author in authors if self._known[author]}


def _filled(
    window: Window, segments: Iterator[Segment], visible: Visible, show: Show[T]
) -> tuple[TimelinePage[T], int]:
    """Read on until there is enough for the page and one post more, then look what there is to show, at once.

    Also tells how many segments that took. Bounded: the page may come out short, and says where to go on.
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
