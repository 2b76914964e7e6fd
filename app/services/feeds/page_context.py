"""What a page of a home feed depends on: the reader state and the posts in flight, read from the truth before anything
cached; whom the reader follows, and what the reader likes, looked up while the page is made.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Literal
from uuid import UUID

from app.services.feeds.home_tops import Top
from app.services.feeds.page_likes import Likes
from app.services.feeds.page_windows import Segment
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore

# How a post got into a page: pushed, and found in the cached top or in the feed store; in flight; pulled because its
# author is pulled; or pulled because the pushed timeline is not complete there.
Way = Literal["top", "timeline", "in_flight", "author_pulled", "all_pulled"]


class Follows:
    """The reader and the accounts the reader follows, each looked up once; the whole list only if it is needed."""

    def __init__(self, relational: RelationalStore, reader: UUID) -> None:
        self._graph = relational.graph
        self._reader = reader
        self._all: set[UUID] | None = None
        self._known: dict[UUID, bool] = {reader: True}

    def everybody(self) -> set[UUID]:
        if self._all is None:
            self._all = {self._reader, *self._graph.followees(self._reader)}
        return self._all

    def note(self, authors: Collection[UUID], followed: Collection[UUID]) -> None:
        """Record which of `authors` are followed."""
        self._known |= {author: author in followed for author in authors if author != self._reader}

    def among(self, authors: set[UUID]) -> set[UUID]:
        if self._all is not None:
            return authors & self._all
        unknown = authors - self._known.keys()
        if unknown:
            relations = self._graph.relations(self._reader, unknown)
            self._known |= {author: relation.following for author, relation in relations.items()}
        return {author for author in authors if self._known[author]}


class Ways:
    """How each post got into a page, for the question why a post is in a feed. Asking does not count as reading."""

    def __init__(self) -> None:
        self.of: defaultdict[UUID, list[Way]] = defaultdict(list)

    def note(self, segment: Segment, way: Way) -> None:
        for ref in segment.refs:
            if way not in self.of[ref.post_id]:
                self.of[ref.post_id].append(way)


class PageContext:
    """The posts in flight and the reader state, read in this order. The pushed timeline is complete down to
    `low_watermark`. The reader's follows and likes are looked up while the page is made.

    `top` is the cached top that was read, if any; `was_beyond`, whether the page read more than it: the feed store, the
    documents below the top, a second top, or the posts in flight again. `ways` are recorded if they are given.
    """

    __slots__ = ("follows", "in_flight", "likes", "low_watermark", "state", "top", "was_beyond", "ways")

    def __init__(
        self,
        follows: Follows,
        likes: Likes,
        in_flight: Segment,
        state: ReaderState,
        low_watermark: UUID,
        ways: Ways | None = None,
    ) -> None:
        self.follows = follows
        self.likes = likes
        self.ways = ways
        self.in_flight = in_flight
        self.state = state
        self.low_watermark = low_watermark
        self.top: Top | None = None
        self.was_beyond = False

    @property
    def only_top(self) -> Top | None:
        """The cached top, unless the page read more than it (`was_beyond`)."""
        return None if self.was_beyond else self.top

    def via(self, way: Way, segment: Segment) -> Segment:
        """The segment, after recording the way of its posts."""
        if self.ways is not None:
            self.ways.note(segment, way)
        return segment

    def is_quiet(self) -> bool:
        """Whether the pushed timeline is the whole feed: nothing in the feed is in flight or has to be pulled."""
        if self.state.state != "awake" or self.state.pulled or self.in_flight.end is not None:
            return False
        return not self.follows.among({ref.author_id for ref in self.in_flight.refs})
