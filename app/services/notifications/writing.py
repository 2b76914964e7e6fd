"""What people are told of, written from events: follows, likes, comments, and news of orders.

A fact is made of what was done and when, so whoever takes it back knows it without looking it up. Everything here may
be repeated, late or out of order, and raises `Unavailable` while a store it needs is away. Nobody is told of what
they did themselves. A deed that an older version told without its time leaves no notice.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from app.events import (
    CommentAdded,
    CommentDeleted,
    Followed,
    OrderCancelled,
    OrderFulfilled,
    OrderPaid,
    OrderRefunded,
    PostLiked,
    PostUnliked,
    Unfollowed,
)
from app.services.live.announcer import Announcer
from app.services.money.orders import sellers
from repositories.documents import Documents
from repositories.feed_records import Fact, Kind
from repositories.feeds import Feeds
from repositories.relational import Relational

Deed = Followed | PostLiked | CommentAdded
Undoing = Unfollowed | PostUnliked | CommentDeleted
OrderNews = OrderPaid | OrderFulfilled | OrderCancelled | OrderRefunded
Notice = tuple[UUID, Fact]

SOLD = "sold"
# What the buyer is told. The number keeps apart what happened to an order within one millisecond.
NEWS: dict[type, tuple[int, str]] = {
    OrderPaid: (1, "paid"),
    OrderFulfilled: (2, "fulfilled"),
    OrderCancelled: (3, "cancelled"),
    OrderRefunded: (4, "refunded"),
}


class Notices:
    def __init__(self, relational: Relational, documents: Documents, feeds: Feeds, announcer: Announcer) -> None:
        self._relational = relational
        self._documents = documents
        self._facts = feeds.notifications
        self._announcer = announcer

    def note(self, event: Deed | OrderNews, at: datetime) -> None:
        """Tell everybody whom this concerns."""
        for owner, fact in self._of(event, at):
            fact_id = self._facts.note(owner, fact, at)
            self._announcer.notified(owner, fact_id, fact.kind)

    def withdraw(self, event: Undoing, at: datetime) -> None:
        """What was told of the deed is untold. Of a deleted post nothing is shown anyway."""
        for owner, fact in self._of(event, at):
            self._facts.withdraw(owner, fact, at)

    def _of(self, event: Deed | Undoing | OrderNews, at: datetime) -> Iterator[Notice]:
        match event:
            case Followed() | Unfollowed():
                return _notices("follow", event.followee, event.followee, event.follower, event.since)
            case PostLiked() | PostUnliked():
                owner = self._author(event.post_id)
                return _notices("like", owner, event.post_id, event.account_id, event.since)
            case CommentAdded() | CommentDeleted():
                owner = self._author(event.post_id)
                return _notices("comment", owner, event.post_id, event.author_id, event.since, event.number)
            case _:
                return self._of_order(event, at)

    def _of_order(self, event: OrderNews, at: datetime) -> Iterator[Notice]:
        """The buyer hears from the sellers; of a refund, from the one who made it. The sellers hear from the buyer."""
        order = self._relational.orders.get([event.order_id])[event.order_id]
        number, news = NEWS[type(event)]
        known = event.seller_id if isinstance(event, OrderRefunded) else None
        for seller in sorted({known} if known else sellers(order)):
            yield order.buyer_id, Fact("order", order.id, seller, at, number, news)
            if isinstance(event, OrderPaid):
                yield seller, Fact("order", order.id, order.buyer_id, at, detail=SOLD)

    def _author(self, post_id: UUID) -> UUID | None:
        post = self._documents.posts.get([post_id]).get(post_id)
        return post.author_id if post else None


def _notices(
    kind: Kind, owner: UUID | None, subject: UUID, actor: UUID, since: datetime | None, number: int = 0
) -> Iterator[Notice]:
    """None at all where there is nobody to tell, or nothing to tell it by."""
    if owner is not None and owner != actor and since is not None:
        yield owner, Fact(kind, subject, actor, since, number)
