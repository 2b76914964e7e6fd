"""Reads an owner's activities in chunks, newest first, and leaves out those that are no longer visible."""

from collections.abc import Sequence
from uuid import UUID

from app.services.notifications.grouping import day_of
from app.services.pages import inbox_tops
from app.services.pages.kinds import Used
from app.services.pages.wing import PagesWing
from repositories.documents import DocumentStore
from repositories.errors import Unavailable
from repositories.feeds.notifications_port import Notifications, StoredActivity
from repositories.records.feeds import Activity
from repositories.records.graph import Relation
from repositories.relational import RelationalStore

# Each chunk is twice as long as the one before, so that a scan is four chunks at most.
MOST_ACTIVITIES = 3000
ABOUT_POSTS = {"like", "comment"}


class VisibilityFilter:
    """Leaves out activities of accounts that are deleted or blocked either way, ended follows, and deleted posts.

    Each account and post is looked up once: at most two round trips for a chunk of activities. If the page is to be
    kept, `used` records fragments that are dropped when what was looked up changes. Changes to the owner's blocks,
    followers and own posts drop the counts of the owner's account, so these look-ups are not recorded here.
    """

    def __init__(
        self,
        owner: UUID,
        relational: RelationalStore,
        documents: DocumentStore,
        pages: PagesWing,
        used: Used | None = None,
        away: Unavailable | None = None,
    ) -> None:
        """`away` is an error of the relational store that this request has met; it is raised instead of a new call."""
        self._owner = owner
        self._away = away
        self._relational = relational
        self._documents = documents
        self._pages = pages
        self._used = used
        self._relations: dict[UUID, Relation] = {}
        self._posts: dict[UUID, bool] = {}

    def __call__(self, activities: Sequence[StoredActivity]) -> list[StoredActivity]:
        self._look_up_actors({n.activity.actor for n in activities})
        self._look_up_posts({n.activity.subject for n in activities if n.activity.kind in ABOUT_POSTS})
        return [n for n in activities if self._is_visible(n.activity)]

    def _look_up_actors(self, actors: set[UUID]) -> None:
        strangers = actors - self._relations.keys()
        if not strangers:
            return
        if self._away is not None:
            raise self._away
        met = self._relational.graph.relations(self._owner, strangers)
        self._relations |= met
        if self._used is not None:
            # A deleted account has no profile to record. If an account is deleted after this look-up, its profile is
            # missing too, or its deletion drops it.
            there = [actor for actor, relation in met.items() if not relation.gone]
            self._pages.through.get(self._pages.kinds.accounts, there, self._used)

    def _look_up_posts(self, posts: set[UUID]) -> None:
        unknown = posts - self._posts.keys()
        if unknown:
            authors = self._documents.posts.authors(unknown)
            found = set(authors)
            others = {post for post, author in authors.items() if author != self._owner}
            if self._used is not None and others:
                found -= others - self._pages.through.get(self._pages.kinds.posts, others, self._used).keys()
            self._posts |= {post: post in found for post in unknown}

    def _is_visible(self, activity: Activity) -> bool:
        relation = self._relations[activity.actor]
        if relation.blocking or relation.blocked_by or relation.gone:
            return False
        if activity.kind == "follow":
            return relation.follows_you
        return activity.kind not in ABOUT_POSTS or self._posts[activity.subject]


class Scan:
    """`activities` are the visible ones read so far, down to and including `place`. `newest` is the first id read."""

    def __init__(
        self,
        owner: UUID,
        stored: Notifications,
        visible: VisibilityFilter,
        below: UUID | None = None,
        first: Sequence[StoredActivity] | None = None,
    ) -> None:
        """`first` is the first chunk, if it is known: `ACTIVITIES` of them, or all there are."""
        self._owner = owner
        self._stored = stored
        self._filter = visible
        self._first = first
        self._chunk = inbox_tops.ACTIVITIES
        self._left = MOST_ACTIVITIES
        self.activities: list[StoredActivity] = []
        self.newest: UUID | None = None
        self.place = below
        self.ended = False

    def more(self) -> bool:
        """Read the next chunk. False at the end, and once the limit of a request is reached."""
        if self.ended or not self._left:
            return False
        size = min(self._chunk, self._left)
        found, self._first = self._first, None
        if found is None:
            found = self._stored.page(self._owner, before=self.place, limit=size)
        self.activities += self._filter(found)
        if found:
            self.newest, self.place = self.newest or found[0].id, found[-1].id
        self.ended = len(found) < size
        self._left -= size
        self._chunk *= 2
        return True

    def reached(self, place: UUID) -> bool:
        """Whether everything above `place` was read."""
        return self.ended or (self.newest is not None and self.place is not None and self.place <= place)

    @property
    def within_a_day(self) -> bool:
        """Whether the limit of a request was reached within the day in which the scan began."""
        if self._left or self.newest is None or self.place is None:
            return False
        return day_of(self.newest) == day_of(self.place)

    @property
    def complete(self) -> list[StoredActivity]:
        """The activities of the days that were read completely; if one day is too long for a scan, what was read."""
        if self.ended or self.within_a_day or self.place is None:
            return self.activities
        last = day_of(self.place)
        return [n for n in self.activities if day_of(n.id) > last]
