"""Reading notifications: pages of items, the number of unread items, and the read marker.

A list is a snapshot as of its first page; newer activities are at the top of the next list. An item needs all
activities of its day, so each page is built from whole days. `InboxCursor` has the day and the items of it that were
shown, so that an item which gains or loses activities between two pages is shown once. A request reads a bounded number
of activities; if they do not fill the page, the page is short.
"""

from uuid import UUID

from msgspec import Struct

from app.clock import Clock
from app.errors import Unprocessable
from app.services.notifications.grouping import Item, above, day_of, end_of, items
from app.services.notifications.scan import Scan, VisibilityFilter
from app.services.pages.inbox_tops import InboxTop
from app.services.pages.kinds import Used
from app.services.pages.wing import PagesWing
from repositories.documents import DocumentStore
from repositories.errors import Unavailable
from repositories.feeds import FeedStore
from repositories.feeds.activity_id import moment_id
from repositories.relational import RelationalStore

MOST_UNREAD = 100
ACTORS = 3
# Shown items of a day that a cursor holds at most. A page has fewer.
CARRIED = 500


class InboxCursor(Struct, frozen=True):
    """Where a list continues: with items below `below` that were not shown. `newest` is the moment of the last note
    when the list began.

    `shown` are the `mark_of` the shown items of the day below `below`. If that day has very many, items whose newest
    activity is not below `ceiling` were shown too.
    """

    newest: UUID | None
    below: UUID
    shown: tuple[int, ...] = ()
    ceiling: UUID | None = None

    def has_shown(self, item: Item) -> bool:
        return mark_of(item) in self.shown or (self.ceiling is not None and item.latest >= self.ceiling)


class Notification(Struct, frozen=True):
    """`actors` are the newest few of `count` distinct accounts, as the API shows them."""

    item: Item
    actors: list[bytes]
    count: int
    read: bool


class NotificationPage(Struct, frozen=True):
    """`unread` counts items, up to `MOST_UNREAD`. `newest` is the moment of the last note when the list began."""

    items: list[Notification]
    onward: InboxCursor | None
    unread: int
    newest: UUID | None


class Inbox:
    """Makes pages from the cached top of the stored activities. Blocks and deletions are looked up for each page."""

    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, feeds: FeedStore, pages: PagesWing, clock: Clock
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._stored = feeds.notifications
        self._pages = pages
        self._clock = clock

    def page(
        self, owner: UUID, limit: int, place: InboxCursor | None = None, used: Used | None = None
    ) -> NotificationPage:
        """Items with the newest activity first. Raises `Unavailable`. `used` records what the page is made of."""
        top, away = self._top(owner, used)
        visible = VisibilityFilter(owner, self._relational, self._documents, self._pages, used, away)
        newest_first = Scan(owner, self._stored, visible, first=top.activities)
        scan = Scan(owner, self._stored, visible, place.below) if place else newest_first
        found = _not_yet_shown(scan, limit, place)
        start = place or _start(scan)
        onward = _onward(scan, found, limit, start) if start else None
        newest = start.newest if start else None
        shown = self._shown(found[:limit], top, used)
        return NotificationPage(shown, onward, _unread(newest_first, top), newest)

    def unread(self, owner: UUID) -> int:
        top, _ = self._top(owner)
        return _unread(Scan(owner, self._stored, self._filter(owner), first=top.activities), top)

    def read(self, owner: UUID, up_to: UUID | None = None) -> int:
        """Mark as read up to an item, up to a page's `newest`, or everything. The marker never moves backwards.

        Returns the number of items still unread. Raises `Unprocessable` for an item that does not exist.
        """
        noted = self._noted(owner, up_to)
        if noted:
            try:
                self._stored.mark(owner, noted)
            finally:
                self._pages.invalidation.drop_or_defer(self._pages.invalidation.inboxes([owner]))
        return self.unread(owner)

    def _top(self, owner: UUID, used: Used | None = None) -> tuple[InboxTop, Unavailable | None]:
        """The top of the inbox, and the `Unavailable` of the relational store if it was met on the way."""
        away = None
        kinds, through = self._pages.kinds, self._pages.through
        if used is not None:
            # The owner's counts are read for `used` only: they are dropped with every follow, block and post of the
            # owner, which the page depends on. They need more stores than the page does: while one of these is
            # unavailable, the page is not kept.
            try:
                found = through.multi_get({kinds.inboxes: [owner], kinds.account_stats: [owner]}, used)
                return InboxTop.of(found[kinds.inboxes][owner]), None
            except Unavailable as error:
                if error.store == "feeds":
                    # The inbox itself is stored there: asking once more would only wait for a second timeout.
                    raise
                away = error if error.store == "relational" else None
                used.lacks()
        return InboxTop.of(through.get(kinds.inboxes, [owner], used)[owner]), away

    def _noted(self, owner: UUID, up_to: UUID | None) -> UUID | None:
        """The moment up to which to mark as read: now or that of the newest activity at most. None if there is none."""
        if up_to is not None and up_to.version != 7:
            return self._noted_last(owner, up_to)
        newest = [n.since for n in self._stored.page(owner, limit=1)]
        last = max([moment_id(self._clock()), *newest])
        return min(last, up_to or last) if newest else None

    def _noted_last(self, owner: UUID, item_id: UUID) -> UUID:
        """The moment when the last activity of an item was noted. Raises `Unprocessable`."""
        day = day_of(item_id)
        scan = Scan(owner, self._stored, self._filter(owner), end_of(day))
        while scan.more():
            for item in items(scan.activities):
                if item.id == item_id:
                    return item.noted
            if scan.reached(end_of(day - 1)):
                break
        raise Unprocessable("there is no such notification", {"/up_to": "there is no such notification"})

    def _filter(self, owner: UUID) -> VisibilityFilter:
        return VisibilityFilter(owner, self._relational, self._documents, self._pages)

    def _shown(self, found: list[Item], top: InboxTop, used: Used | None) -> list[Notification]:
        wanted = {actor for item in found for actor in item.actors[:ACTORS]}
        known = self._pages.through.get(self._pages.kinds.accounts, wanted, used)
        return [
            Notification(
                item,
                [known[a].body or b"" for a in item.actors[:ACTORS] if a in known],
                len(item.actors),
                top.covers(item.noted),
            )
            for item in found
        ]


def mark_of(item: Item) -> int:
    """Four bytes of an item's id: enough to distinguish it from the other items of its day."""
    return item.id.int & 0xFFFFFFFF


def _not_yet_shown(scan: Scan, limit: int, place: InboxCursor | None) -> list[Item]:
    """Items that were not shown yet: more than a page of them, or all that this request may find."""
    while True:
        found = [i for i in items(scan.complete) if not (place and place.has_shown(i))]
        if len(found) > limit or not scan.more():
            return found


def _unread(scan: Scan, top: InboxTop) -> int:
    """The number of unread items, up to `MOST_UNREAD`. Of very many activities, only those of one scan count."""
    while True:
        count = len(items(n for n in scan.activities if not top.covers(n.since)))
        if count >= MOST_UNREAD or (top.lowest and scan.reached(top.lowest)) or not scan.more():
            return min(count, MOST_UNREAD)


def _start(scan: Scan) -> InboxCursor | None:
    """The cursor of a list whose first page was read. None if there are no activities at all."""
    noted = max((n.since for n in scan.activities), default=None)
    return InboxCursor(noted, above(scan.newest)) if scan.newest else None


def _onward(scan: Scan, found: list[Item], limit: int, start: InboxCursor) -> InboxCursor | None:
    page = found[:limit]
    if len(found) > limit:
        day = day_of(page[-1].id)
        return _continuing(start, page, day, min(start.below, end_of(day)))
    if scan.ended or scan.place is None:
        return None
    day = day_of(scan.place)
    return _continuing(start, page, day, scan.place if scan.within_a_day else end_of(day))


def _continuing(start: InboxCursor, page: list[Item], day: int, below: UUID) -> InboxCursor:
    """The cursor that continues below `below`, in this day, with the items of the day that the list has shown."""
    same = start.below <= end_of(day)
    shown = [*(start.shown if same else ()), *(mark_of(i) for i in page if day_of(i.id) == day)]
    ceiling = page[0].latest if len(shown) > CARRIED else start.ceiling if same else None
    return InboxCursor(start.newest, below, tuple(shown[-CARRIED:]), ceiling)
