"""Notifications written from events: follows, likes, comments and order states.

An activity's id is derived from what was done and when, so a withdrawal needs no look-up. Every method may be repeated,
late or out of order, and raises `Unavailable` while a store it needs is away. Own activity notifies nobody. Events of
an earlier version that lack `since` are skipped.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from app.clock import Clock
from app.events import (
    CommentAdded,
    CommentDeleted,
    Followed,
    OrderCancelled,
    OrderFulfilled,
    OrderPaid,
    OrderRefunded,
    OrderRefused,
    OrderShipped,
    PostLiked,
    PostUnliked,
    Unfollowed,
)
from app.services.live.announcer import Announcer
from app.services.money.shares import sellers
from app.services.pages.invalidation import Invalidation
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.feeds.activity_id import moment_id
from repositories.records.feeds import Activity, Kind
from repositories.records.orders import Order
from repositories.relational import RelationalStore

ActivityEvent = Followed | PostLiked | CommentAdded
WithdrawalEvent = Unfollowed | PostUnliked | CommentDeleted
OrderEvent = OrderPaid | OrderShipped | OrderFulfilled | OrderCancelled | OrderRefused | OrderRefunded
Addressed = tuple[UUID, Activity]

SOLD = "sold"
# The detail of the buyer's notification. The number keeps two states of one millisecond apart.
NEWS: dict[type, tuple[int, str]] = {
    OrderPaid: (1, "paid"),
    OrderFulfilled: (2, "fulfilled"),
    OrderCancelled: (3, "cancelled"),
    OrderRefunded: (4, "refunded"),
    OrderShipped: (5, "shipped"),
    OrderRefused: (6, "refused"),
}


class NotificationWriter:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        invalidation: Invalidation,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._activities = feeds.notifications
        self._invalidation = invalidation
        self._announcer = announcer
        self._clock = clock

    def note(self, event: ActivityEvent | OrderEvent, at: datetime) -> None:
        """Notify all accounts concerned. Noted with the current time, it is unread whatever was read before."""
        noted, addressed = moment_id(self._clock()), list(self._of(event, at))
        ids = [self._activities.note(owner, activity, at, noted) for owner, activity in addressed]
        self._drop(addressed)
        # Announced last, so that a client which gets the live event finds the notification.
        for (owner, activity), activity_id in zip(addressed, ids, strict=True):
            self._announcer.notified(owner, activity_id, activity.kind)

    def withdraw(self, event: WithdrawalEvent, at: datetime) -> None:
        """Withdraw the notifications of what was undone. Those of a deleted post are not shown anyway."""
        addressed = list(self._of(event, at))
        for owner, activity in addressed:
            self._activities.withdraw(owner, activity, at)
        self._drop(addressed)

    def _drop(self, addressed: Collection[Addressed]) -> None:
        if addressed:
            self._invalidation.drop_or_defer(self._invalidation.inboxes({owner for owner, _ in addressed}))

    def _of(self, event: ActivityEvent | WithdrawalEvent | OrderEvent, at: datetime) -> Iterator[Addressed]:
        match event:
            case Followed() | Unfollowed():
                return _addressed("follow", event.followee, event.followee, event.follower, event.since)
            case PostLiked() | PostUnliked():
                owner = self._author(event.post_id)
                return _addressed("like", owner, event.post_id, event.account_id, event.since)
            case CommentAdded() | CommentDeleted():
                owner = self._author(event.post_id)
                return _addressed("comment", owner, event.post_id, event.author_id, event.since, event.number)
            case _:
                return self._of_order(event, at)

    def _of_order(self, event: OrderEvent, at: datetime) -> Iterator[Addressed]:
        """The buyer gets one activity for each seller concerned. A sale also notifies each of these sellers."""
        order = self._relational.orders.get([event.order_id])[event.order_id]
        number, news = NEWS[type(event)]
        for seller in _concerned(event, order):
            yield order.buyer_id, Activity("order", order.id, seller, at, number, news)
            if isinstance(event, OrderPaid):
                yield seller, Activity("order", order.id, order.buyer_id, at, detail=SOLD)

    def _author(self, post_id: UUID) -> UUID | None:
        return self._documents.posts.authors([post_id]).get(post_id)


def _concerned(event: OrderEvent, order: Order) -> list[UUID]:
    if isinstance(event, OrderPaid):
        return [part.seller_id for part in order.sub_orders if part.paid_at]
    if isinstance(event, OrderCancelled):
        return [part.seller_id for part in order.sub_orders if part.state == "cancelled"]
    return [event.seller_id] if event.seller_id else sorted(sellers(order))


def _addressed(
    kind: Kind, owner: UUID | None, subject: UUID, actor: UUID, since: datetime | None, number: int = 0
) -> Iterator[Addressed]:
    """Yields nothing if there is no owner (the post is gone), for own activity, and without `since`."""
    if owner is not None and owner != actor and since is not None:
        yield owner, Activity(kind, subject, actor, since, number)
