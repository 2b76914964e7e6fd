"""Handlers of events: one table from event type to functions, each of which calls one service.

Every function is idempotent. It may run repeatedly, late, or after newer events of other aggregates: timeline writes
carry the event's time, marks name the edge they are for, and cached counts are dropped instead of incremented. If a
function raises `Unavailable`, all functions of its event are retried until the store is back. The cache is an
exception: while it is away, drops and live events become deferred work, so that nothing else waits for it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from app import events
from app.container import Container
from app.errors import PaymentUndecided, PaymentUnknown
from app.services.feeds.fanouts import Unfinished
from app.services.notifications.writing import ActivityEvent, OrderEvent, WithdrawalEvent
from app.telemetry import request_trace, spans
from repositories.records.content import PostRef
from repositories.records.events import Event
from repositories.records.graph import Follow
from repositories.records.money import Money

log = logging.getLogger(__name__)
# The shortest and the longest wait before the payment provider is asked again.
SOONEST, LATEST = timedelta(seconds=1), timedelta(minutes=10)
Handler = Callable[[Container, Any, datetime], None]


def deliver(container: Container, event: events.PostPublished, at: datetime) -> None:
    """Fan out on write, in slices: the author's timeline, then the home timelines of the author and all followers."""
    container.feeds.fanouts.deliver(PostRef(event.post_id, event.author_id), at)


def retract(container: Container, event: events.PostDeleted, at: datetime) -> None:
    container.feeds.fanouts.retract(PostRef(event.post_id, event.author_id), at)


def make_up(container: Container, event: events.AuthorReturned, at: datetime) -> None:
    container.feeds.fanouts.make_up(event.author_id, at)


def fill_feed(container: Container, event: events.FeedRequested, at: datetime) -> None:
    container.feeds.timeline_rebuild.fill(event.account_id, at)


def clean_up_post(container: Container, event: events.PostDeleted, _at: datetime) -> None:
    container.content.posts.clean_up(event.post_id)


def backfill(container: Container, event: events.Followed, at: datetime) -> None:
    container.feeds.back_fill.fill(Follow(event.follower, event.followee, event.since), at)


def clear_feed(container: Container, event: events.Unfollowed, at: datetime) -> None:
    container.feeds.back_fill.clear(event.follower, event.followee, at)


def clear_both_feeds(container: Container, event: events.Blocked, at: datetime) -> None:
    container.feeds.back_fill.clear(event.blocker, event.blocked, at)
    container.feeds.back_fill.clear(event.blocked, event.blocker, at)


def drop_post(container: Container, event: events.PostPublished | events.PostDeleted, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.post(event.post_id, event.author_id, event.tags))


def drop_edited_post(container: Container, event: events.PostEdited, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.edited_post(event.post_id, event.author_id, event.tags))


def drop_product(container: Container, event: events.ProductListed | events.ProductWithdrawn, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.product(event.product_id, event.categories))


def drop_edited_product(container: Container, event: events.ProductEdited, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.edited_product(event.product_id, event.categories))


def drop_account(container: Container, event: events.AccountEdited | events.AccountDeleted, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.account(event.account_id, event.handles))


def end_sessions(container: Container, event: events.PasswordChanged, at: datetime) -> None:
    """End the sessions again, in case the process that changed the password died before it ended them."""
    container.people.sessions.end_earlier(event.account_id, at, keep=event.session_id)


def mail_token(container: Container, event: events.MailRequested, at: datetime) -> None:
    container.people.mailed_tokens.send(event.account_id, event.purpose, at)


def mail_former_address(container: Container, event: events.EmailChanged, at: datetime) -> None:
    container.people.email_changes.report(event.former, at)


def end_all_sessions(container: Container, event: events.AccountDeleted, _at: datetime) -> None:
    container.people.sessions.end_all(event.account_id)


def clean_up_account(container: Container, event: events.AccountDeleted, _at: datetime) -> None:
    """Remove one slice of the account's content. Raises `Unfinished` until nothing is left."""
    if container.content.departures.clean_up(event.account_id):
        raise Unfinished


def follow_departed(
    container: Container, event: events.PostPublished | events.CommentAdded | events.ProductListed, _at: datetime
) -> None:
    """Remove the content if its account is deleted: it may come from a request that ran during the deletion."""
    owner = event.seller_id if isinstance(event, events.ProductListed) else event.author_id
    container.content.departures.follow_up(owner)


def drop_stock(container: Container, event: events.StockPut, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.stock([event.product_id]))


def drop_ordered_stock(
    container: Container,
    event: events.OrderPlaced | events.OrderCancelled | events.OrderRefused | events.OrderRefunded,
    _at: datetime,
) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.ordered_stock(event.order_id))


def recount_post(container: Container, event: events.CommentAdded | events.CommentDeleted, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.post_stats([event.post_id]))


def recount_likes(container: Container, event: events.PostLiked | events.PostUnliked, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.liked(event.account_id, [event.post_id]))


def recount_follow(container: Container, event: events.Followed | events.Unfollowed, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.follow(event.follower, event.followee))


def drop_block(container: Container, event: events.Blocked, _at: datetime) -> None:
    cached = container.pages.invalidation
    cached.drop_or_defer(cached.block(event.blocker, event.blocked))


def settle_offer(container: Container, event: events.ProductEdited, _at: datetime) -> None:
    container.money.offers.settle(event.product_id)


def clear_stock(container: Container, event: events.ProductWithdrawn, _at: datetime) -> None:
    container.content.products.clear_stock(event.product_id)


def credit(container: Container, event: events.DepositBegun, at: datetime) -> None:
    with _until_known(container, at):
        container.money.payments.complete_deposit(event.transfer_id, event.owner, Money(event.amount, event.currency))


def pay_out(container: Container, event: events.PayoutBegun, at: datetime) -> None:
    with _until_known(container, at):
        container.money.payments.complete_payout(event.transfer_id, event.owner, Money(event.amount, event.currency))


@contextmanager
def _until_known(container: Container, begun: datetime) -> Iterator[None]:
    """Ask the provider again while the outcome is unknown, after a wait as long as the age of the payment.

    The wait is at least `SOONEST` and at most `LATEST`. It is intended if the provider has answered that it has not
    decided yet, and not if it cannot be asked.
    """
    try:
        yield
    except PaymentUnknown as error:
        age = container.stores.relational.now() - begun
        undecided = error.detail if isinstance(error, PaymentUndecided) else None
        raise Unfinished(min(max(age, SOONEST), LATEST), undecided) from error


def log_seal(_container: Container, event: events.LedgerAnchored, _at: datetime) -> None:
    """Log a copy of the anchor's seal: logs are kept where the owner of the database cannot alter them."""
    log.info("ledger anchored: %s", event.seal)


def notify(container: Container, event: ActivityEvent | OrderEvent, at: datetime) -> None:
    container.notifications.writing.note(event, at)


def withdraw(container: Container, event: WithdrawalEvent, at: datetime) -> None:
    container.notifications.writing.withdraw(event, at)


HANDLERS: dict[type, tuple[Handler, ...]] = {
    events.PostPublished: (follow_departed, drop_post, deliver),
    events.PostEdited: (drop_edited_post,),
    events.PostDeleted: (drop_post, clean_up_post, retract),
    events.CommentAdded: (follow_departed, recount_post, notify),
    events.CommentDeleted: (recount_post, withdraw),
    events.PostLiked: (recount_likes, notify),
    events.PostUnliked: (recount_likes, withdraw),
    events.Followed: (recount_follow, notify, backfill),
    events.Unfollowed: (recount_follow, withdraw, clear_feed),
    events.Blocked: (drop_block, clear_both_feeds),
    events.FeedRequested: (fill_feed,),
    events.AuthorReturned: (make_up,),
    events.ProductListed: (follow_departed, drop_product),
    events.ProductEdited: (drop_edited_product, settle_offer),
    events.ProductWithdrawn: (drop_product, clear_stock),
    events.StockPut: (drop_stock,),
    events.AccountEdited: (drop_account,),
    events.PasswordChanged: (end_sessions,),
    events.MailRequested: (mail_token,),
    events.EmailChanged: (mail_former_address,),
    events.AccountDeleted: (drop_account, end_all_sessions, clean_up_account),
    events.DepositBegun: (credit,),
    events.PayoutBegun: (pay_out,),
    events.OrderPlaced: (drop_ordered_stock,),  # no payment here: the sweeper settles the order when it is due
    events.OrderPaid: (notify,),
    events.OrderCancelled: (drop_ordered_stock, notify),
    events.OrderShipped: (notify,),
    events.OrderFulfilled: (notify,),
    events.OrderRefused: (drop_ordered_stock, notify),
    events.OrderRefunded: (drop_ordered_stock, notify),
    events.LedgerAnchored: (log_seal,),
}


def handle(container: Container, event: Event) -> None:
    """Dispatch one event to its handlers. Raises what a handler raises; `Unfinished` means that only part is done."""
    known = events.unpack(event)
    with request_trace.within(events.trace_of(event)):
        for function in HANDLERS[type(known)]:
            with spans.step(function.__name__, expected=(Unfinished,)):
                function(container, known, event.happened_at)
