"""What happened: frozen, past tense, without behaviour. `handlers.py` has a row for each.

Payloads carry ids and no content: a handler looks at the truth as it is when it runs.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from repositories.records import Event


class PostPublished(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID


class PostEdited(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID


class PostDeleted(Struct, frozen=True, tag=True):
    post_id: UUID
    author_id: UUID


class CommentAdded(Struct, frozen=True, tag=True):
    post_id: UUID
    number: int
    author_id: UUID


class CommentDeleted(Struct, frozen=True, tag=True):
    post_id: UUID
    number: int
    author_id: UUID


class ProductListed(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID


class ProductEdited(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID


class ProductWithdrawn(Struct, frozen=True, tag=True):
    product_id: UUID
    seller_id: UUID


class Followed(Struct, frozen=True, tag=True):
    follower: UUID
    followee: UUID
    since: datetime


class Unfollowed(Struct, frozen=True, tag=True):
    follower: UUID
    followee: UUID


class Blocked(Struct, frozen=True, tag=True):
    blocker: UUID
    blocked: UUID


class PostLiked(Struct, frozen=True, tag=True):
    post_id: UUID
    account_id: UUID


class PostUnliked(Struct, frozen=True, tag=True):
    post_id: UUID
    account_id: UUID


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
    """`amount` minor units went back, a part of the total or the rest of it."""

    order_id: UUID
    amount: int


AnyEvent = (
    PostPublished
    | PostEdited
    | PostDeleted
    | CommentAdded
    | CommentDeleted
    | ProductListed
    | ProductEdited
    | ProductWithdrawn
    | Followed
    | Unfollowed
    | Blocked
    | PostLiked
    | PostUnliked
    | DepositBegun
    | OrderPlaced
    | OrderPaid
    | OrderCancelled
    | OrderFulfilled
    | OrderRefunded
)

_decoder = msgspec.json.Decoder(AnyEvent)


def pack(event_id: UUID, event: AnyEvent, *, about: UUID, at: datetime) -> Event:
    """The event as an outbox keeps it. Events about the same thing are told in order."""
    return Event(event_id, type(event).__name__, str(about), at, msgspec.json.encode(event))


def unpack(event: Event) -> AnyEvent:
    """Raises `msgspec.DecodeError` for a payload that no version of this code wrote."""
    found: Any = _decoder.decode(event.payload)
    return found  # type: ignore[no-any-return] # the decoder is typed by a union alias
