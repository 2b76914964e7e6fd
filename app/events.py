"""Domain events: frozen, past tense, without behaviour. `app/worker/handlers.py` has a row for each type.

The first field is what the event is about: events of one such id, its aggregate, are dispatched in order.
A payload carries ids and no content: a handler reads the current state when it runs. A payload also carries what the
state no longer holds: the tags, categories and handles whose cached lists and names the change made stale.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from app.telemetry import trace
from repositories.records import Event


class PostPublished(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID
    tags: tuple[str, ...] = ()


class PostEdited(Struct, frozen=True, tag=True):
    """`tags` are those that the post got or lost."""

    post_id: UUID
    author_id: UUID
    tags: tuple[str, ...] = ()


class PostDeleted(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID
    tags: tuple[str, ...] = ()


class CommentAdded(Struct, frozen=True, tag=True):
    post_id: UUID
    number: int
    author_id: UUID
    since: datetime | None = None


class CommentDeleted(Struct, frozen=True, tag=True):
    """`since` is when the comment was made."""

    post_id: UUID
    number: int
    author_id: UUID
    since: datetime | None = None


class ProductListed(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID
    categories: tuple[str, ...] = ()


class ProductEdited(Struct, frozen=True, tag=True):
    """`categories` are the one it left and the one it came into."""

    product_id: UUID
    seller_id: UUID
    categories: tuple[str, ...] = ()


class ProductWithdrawn(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID
    categories: tuple[str, ...] = ()


class StockPut(Struct, frozen=True, tag=True):
    """Somebody counted the units on hand."""

    product_id: UUID


class AccountEdited(Struct, frozen=True, tag=True):
    """`handles` are the one before and the one after."""

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
    """The account's feed is to be filled anew from the truth."""

    account_id: UUID


class AuthorReturned(Struct, frozen=True, tag=True):
    """The author's posts are pushed again, and those left out are to be made up for."""

    author_id: UUID


class PostLiked(Struct, frozen=True, tag=True):
    post_id: UUID
    account_id: UUID
    since: datetime | None = None


class PostUnliked(Struct, frozen=True, tag=True):
    """`since` is when the like was made."""

    post_id: UUID
    account_id: UUID
    since: datetime | None = None


class DepositBegun(Struct, frozen=True, tag=True):
    """The payment provider is about to be asked for this money, with the transfer's id as its reference."""

    transfer_id: UUID
    owner: UUID
    amount: int
    currency: str


class OrderPlaced(Struct, frozen=True, tag=True):
    order_id: UUID
    buyer_id: UUID


class OrderPaid(Struct, frozen=True, tag=True):
    order_id: UUID
    buyer_id: UUID


class OrderCancelled(Struct, frozen=True, tag=True):
    order_id: UUID


class OrderFulfilled(Struct, frozen=True, tag=True):
    order_id: UUID


class OrderRefunded(Struct, frozen=True, tag=True):
    """`amount` minor units went back from a seller, a part of the total or the rest of it."""

    order_id: UUID
    amount: int
    seller_id: UUID | None = None


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
    | Followed
    | Unfollowed
    | Blocked
    | FeedRequested
    | AuthorReturned
    | PostLiked
    | PostUnliked
    | DepositBegun
    | OrderPlaced
    | OrderPaid
    | OrderCancelled
    | OrderFulfilled
    | OrderRefunded
)


class Envelope(Struct, frozen=True):
    """Fields that every payload has in addition to the event's own."""

    trace: str = ""


_decoder = msgspec.json.Decoder(AnyEvent)


def pack(event_id: UUID, event: AnyEvent, *, at: datetime) -> Event:
    """The event as an outbox stores it, with the current trace."""
    about = getattr(event, event.__struct_fields__[0])
    body = {**msgspec.to_builtins(event), "trace": trace.current()}
    return Event(event_id, type(event).__name__, str(about), at, msgspec.json.encode(body))


def trace_of(event: Event) -> str:
    """The id of the request that the event came from; empty when none did."""
    return msgspec.json.decode(event.payload, type=Envelope).trace


def unpack(event: Event) -> AnyEvent:
    """Raises `msgspec.DecodeError` for a payload that no version of this code wrote."""
    found: Any = _decoder.decode(event.payload)
    return found  # type: ignore[no-any-return] # the decoder is typed by a union alias
