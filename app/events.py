"""Domain events: frozen, past tense, without behaviour. `app/worker/handlers.py` has a row for each type.

The first field is the id of the aggregate, the thing that the event is about. Events of one aggregate are dispatched in
order. A payload carries ids and no content: a handler reads the current state when it runs. It also carries what the
current state no longer has: the tags, categories and handles whose cached lists and names the change made stale.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from app.telemetry import request_trace, spans
from repositories.records.events import Event
from repositories.relational.mail_tokens_port import Purpose


class _OfPost(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID
    tags: tuple[str, ...] = ()


class PostPublished(_OfPost, frozen=True): ...


class PostEdited(_OfPost, frozen=True):
    """`tags` are the tags that were added or removed."""


class PostDeleted(_OfPost, frozen=True): ...


class _OfComment(Struct, frozen=True, tag=True):
    """`since` is when the comment was made."""

    post_id: UUID
    number: int
    author_id: UUID
    since: datetime | None = None


class CommentAdded(_OfComment, frozen=True): ...


class CommentDeleted(_OfComment, frozen=True): ...


class _OfProduct(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID
    categories: tuple[str, ...] = ()


class ProductListed(_OfProduct, frozen=True): ...


class ProductEdited(_OfProduct, frozen=True):
    """`categories` are the former and the new category; empty if it did not change."""


class ProductWithdrawn(_OfProduct, frozen=True): ...


class StockPut(Struct, frozen=True, tag=True):
    """The seller changed the units on hand."""

    product_id: UUID


class AccountEdited(Struct, frozen=True, tag=True):
    """`handles` are the former and the new handle."""

    account_id: UUID
    handles: tuple[str, ...]


class PasswordChanged(Struct, frozen=True, tag=True):
    """All earlier sessions are to be ended, except `session_id`, in which the change was made."""

    account_id: UUID
    session_id: UUID | None


class MailRequested(Struct, frozen=True, tag=True):
    """A token is to be mailed to the account's address. For an unknown address no account has `account_id`.

    The aggregate is the request, so that waiting mail does not delay other events.
    """

    request_id: UUID
    account_id: UUID
    purpose: Purpose


class EmailChanged(Struct, frozen=True, tag=True):
    """The account's e-mail address is no longer `former`. The aggregate is the change, as with `MailRequested`."""

    change_id: UUID
    account_id: UUID
    former: str


class AccountDeleted(Struct, frozen=True, tag=True):
    """`handles` has the account's handle. The data it left behind are to be removed."""

    account_id: UUID
    handles: tuple[str, ...]


class Followed(Struct, frozen=True, tag=True):
    follower: UUID
    followee: UUID
    since: datetime


class Unfollowed(Struct, frozen=True, tag=True):
    follower: UUID
    followee: UUID
    since: datetime | None = None


class Blocked(Struct, frozen=True, tag=True):
    blocker: UUID
    blocked: UUID


class FeedRequested(Struct, frozen=True, tag=True):
    """The account's home timeline is to be rebuilt from the truth."""

    account_id: UUID


class AuthorReturned(Struct, frozen=True, tag=True):
    """The author's new posts are pushed again; the postponed fan-outs are to be completed."""

    author_id: UUID


class _OfLike(Struct, frozen=True, tag=True):
    """`since` is when the like was made."""

    post_id: UUID
    account_id: UUID
    since: datetime | None = None


class PostLiked(_OfLike, frozen=True): ...


class PostUnliked(_OfLike, frozen=True): ...


class _OfPayment(Struct, frozen=True, tag=True):
    """`transfer_id` is the reference that the payment provider gets."""

    transfer_id: UUID
    owner: UUID
    amount: int
    currency: str


class DepositBegun(_OfPayment, frozen=True):
    """The payment provider is about to be charged."""


class PayoutBegun(_OfPayment, frozen=True):
    """The payment provider is about to be asked to pay out the amount that is held."""


class _OfOrder(Struct, frozen=True, tag=True):
    order_id: UUID


class OrderPlaced(_OfOrder, frozen=True):
    buyer_id: UUID


class OrderPaid(_OfOrder, frozen=True):
    buyer_id: UUID


class OrderCancelled(_OfOrder, frozen=True): ...


class OrderShipped(_OfOrder, frozen=True):
    """A seller has sent some units; others remain to be sent."""

    seller_id: UUID


class OrderFulfilled(_OfOrder, frozen=True):
    """A seller has sent all units. Events of earlier versions have no seller and concern all of them."""

    seller_id: UUID | None = None


class OrderRefused(_OfOrder, frozen=True):
    """A seller has refused the sub-order: its units are free again, and the buyer has the money back."""

    seller_id: UUID


class OrderRefunded(_OfOrder, frozen=True):
    """A seller has refunded `amount` minor units, all or a part of what was left."""

    amount: int
    seller_id: UUID | None = None


class LedgerAnchored(Struct, frozen=True, tag=True):
    """The state of every ledger account was signed. `seal` is the signed line."""

    anchor_id: UUID
    seal: str


AnyEvent = (
    PostPublished
    | PostEdited
    | PostDeleted
    | CommentAdded
    | CommentDeleted
    | ProductListed
    | ProductEdited
    | ProductWithdrawn
    | StockPut
    | AccountEdited
    | PasswordChanged
    | MailRequested
    | EmailChanged
    | AccountDeleted
    | Followed
    | Unfollowed
    | Blocked
    | FeedRequested
    | AuthorReturned
    | PostLiked
    | PostUnliked
    | DepositBegun
    | PayoutBegun
    | OrderPlaced
    | OrderPaid
    | OrderCancelled
    | OrderShipped
    | OrderFulfilled
    | OrderRefused
    | OrderRefunded
    | LedgerAnchored
)


class Envelope(Struct, frozen=True):
    """Fields that every payload has in addition to the event's own."""

    trace: str = ""


_decoder = msgspec.json.Decoder(AnyEvent)


def pack(event_id: UUID, event: AnyEvent, *, at: datetime) -> Event:
    """The event as an outbox stores it, with the id of the current request and its trace."""
    about = getattr(event, event.__struct_fields__[0])
    body = {**msgspec.to_builtins(event), "trace": request_trace.current()}
    return Event(event_id, type(event).__name__, str(about), at, msgspec.json.encode(body), spans.traceparent())


def trace_of(event: Event) -> str:
    """The id of the request that the event came from; empty if it came from no request."""
    return msgspec.json.decode(event.payload, type=Envelope).trace


def unpack(event: Event) -> AnyEvent:
    """Decode a stored event. Raises `msgspec.DecodeError` for a payload that no version of this code wrote."""
    found: Any = _decoder.decode(event.payload)
    return found  # type: ignore[no-any-return] # the decoder is typed by a union alias
