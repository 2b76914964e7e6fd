"""What follows from an event: one table, event type -> functions.

Every function may run again, late, or after newer events of other aggregates, and changes nothing then: timeline
writes carry the event's time, marks name the edge they are for, and counters are dropped, not added to. A
function that raises `Unavailable` is tried again until its store is back, and all functions of its event with it:
so the cheap ones come first, and a cache that is away does not have a fan-out done again and again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from app import events
from app.container import Container
from repositories.records import Event, Follow, Money, PostRef

Handler = Callable[[Container, Any, datetime], None]


def deliver(container: Container, event: events.PostPublished, at: datetime) -> None:
    """Fan-out on write: the author's timeline, then the feeds of the author and of every follower, in chunks."""
    post = PostRef(event.post_id, event.author_id)
    feeds = container.stores.feeds
    feeds.add_to_author(post, at)
    for owners in _audience(container, event.author_id):
        feeds.push(post, owners, at)


def retract(container: Container, event: events.PostDeleted, at: datetime) -> None:
    post = PostRef(event.post_id, event.author_id)
    feeds = container.stores.feeds
    feeds.remove_from_author(post, at)
    for owners in _audience(container, event.author_id):
        feeds.retract(post, owners, at)


def forget_likes(container: Container, event: events.PostDeleted, _at: datetime) -> None:
    with container.stores.relational.transaction() as tx:
        tx.likes.forget_post(event.post_id)


def backfill(container: Container, event: events.Followed, at: datetime) -> None:
    """Copy the newest posts into the follower's feed, then mark the edge: from now on it need not be pulled.

    When there are more posts than are copied, the feed's floor rises to the oldest copied one, and what is
    below it is pulled. The floor rises first: a crash in between leaves a feed that is pulled too much.
    """
    limit = container.settings.backfill_posts
    refs = container.stores.documents.posts.by_authors([event.followee], limit=limit)
    feeds = container.stores.feeds
    if len(refs) == limit:
        feeds.raise_floor(event.follower, refs[-1].post_id)
    feeds.fill(event.follower, refs, at)
    with container.stores.relational.transaction() as tx:
        tx.graph.filled(Follow(event.follower, event.followee, event.since))


def clear_feed(container: Container, event: events.Unfollowed, at: datetime) -> None:
    container.stores.feeds.purge(event.follower, event.followee, at)


def clear_both_feeds(container: Container, event: events.Blocked, at: datetime) -> None:
    container.stores.feeds.purge(event.blocker, event.blocked, at)
    container.stores.feeds.purge(event.blocked, event.blocker, at)


def forget_post(container: Container, event: events.PostEdited | events.PostDeleted, _at: datetime) -> None:
    container.stores.documents.posts.drop(event.post_id)


def recount_author(container: Container, event: events.PostPublished | events.PostDeleted, _at: datetime) -> None:
    container.counters.drop_accounts([event.author_id])


def recount_post(
    container: Container,
    event: events.PostLiked | events.PostUnliked | events.CommentAdded | events.CommentDeleted,
    _at: datetime,
) -> None:
    container.counters.drop_posts([event.post_id])


def recount_follow(container: Container, event: events.Followed | events.Unfollowed, _at: datetime) -> None:
    container.counters.drop_accounts([event.follower, event.followee])


def clear_stock(container: Container, event: events.ProductWithdrawn, _at: datetime) -> None:
    with container.stores.relational.transaction() as tx:
        tx.stock.clear(event.product_id)


def credit(container: Container, event: events.DepositBegun, _at: datetime) -> None:
    container.wallets.complete(event.transfer_id, event.owner, Money(event.amount, event.currency))


HANDLERS: dict[type, tuple[Handler, ...]] = {
    events.PostPublished: (recount_author, deliver),
    events.PostEdited: (forget_post,),
    events.PostDeleted: (forget_post, recount_author, forget_likes, retract),
    events.CommentAdded: (recount_post,),
    events.CommentDeleted: (recount_post,),
    events.PostLiked: (recount_post,),
    events.PostUnliked: (recount_post,),
    events.Followed: (recount_follow, backfill),
    events.Unfollowed: (recount_follow, clear_feed),
    events.Blocked: (clear_both_feeds,),
    events.ProductListed: (),  # nothing is derived from the catalogue yet
    events.ProductEdited: (),
    events.ProductWithdrawn: (clear_stock,),
    events.DepositBegun: (credit,),
    events.OrderPlaced: (),  # the sweeper pays it when it is due; an event is told at once
    events.OrderPaid: (),
    events.OrderCancelled: (),
    events.OrderFulfilled: (),
    events.OrderRefunded: (),
}


def handle(container: Container, event: Event) -> None:
    """Tell one event to everybody it concerns. Raises what a handler raises."""
    known = events.unpack(event)
    for function in HANDLERS[type(known)]:
        function(container, known, event.happened_at)


def _audience(container: Container, author: UUID) -> Iterator[list[UUID]]:
    """The author and all followers by ascending id, a chunk of followers at a time."""
    graph, size = container.stores.relational.graph, container.settings.fanout_chunk
    chunk = graph.follower_ids(author, after=None, limit=size)
    yield [author, *chunk]
    while len(chunk) == size:
        chunk = graph.follower_ids(author, after=chunk[-1], limit=size)
        if chunk:
            yield chunk
