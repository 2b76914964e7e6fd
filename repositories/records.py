"""The data types of the ports: immutable, typed, without behaviour.

Times are aware datetimes in UTC with microseconds. Ids of things ordered by time are UUIDv7 (RFC 9562), so that
comparing ids compares age. Money is integer minor units with an ISO 4217 code.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Account(Struct, frozen=True):
    """The public part of an account."""

    id: UUID
    handle: str
    display_name: str
    bio: str
    image_url: str | None
    created_at: datetime
    version: int


class Login(Struct, frozen=True):
    """The credentials of an account. Views never see them. `verified_at`: when the e-mail address was last verified."""

    account_id: UUID
    email: str
    password_hash: str
    verified_at: datetime | None = None


class TimeCursor(Struct, frozen=True):
    """A position in a list ordered by time, then id: time and id of the last record of a page."""

    at: datetime
    id: UUID


class Edge(Struct, frozen=True):
    """One entry of a list of followers, followees or blocked accounts: the other account, and since when."""

    account_id: UUID
    since: datetime


class Follow(Struct, frozen=True):
    follower: UUID
    followee: UUID
    since: datetime


class Forgotten(Struct, frozen=True):
    """Follows that were removed with a deleted account, and whether more may be left."""

    follows: list[Follow]
    more: bool


class Like(Struct, frozen=True):
    account_id: UUID
    post_id: UUID
    at: datetime


class Relation(Struct, frozen=True):
    """The relation of a viewer to another account. `gone`: that account was deleted."""

    following: bool = False
    follows_you: bool = False
    blocking: bool = False
    blocked_by: bool = False
    gone: bool = False


class GraphCounts(Struct, frozen=True):
    followers: int = 0
    following: int = 0


class Post(Struct, frozen=True):
    id: UUID
    author_id: UUID
    title: str
    body: str
    tags: tuple[str, ...]
    product_ids: tuple[UUID, ...]
    created_at: datetime
    updated_at: datetime
    version: int


class PostRef(Struct, frozen=True):
    """A post as feeds store it: ids only."""

    post_id: UUID
    author_id: UUID


class Comment(Struct, frozen=True):
    """Comments are numbered per post from 1; a number is never used twice."""

    post_id: UUID
    number: int
    author_id: UUID
    body: str
    created_at: datetime


class TagCount(Struct, frozen=True):
    tag: str
    posts: int


class Money(Struct, frozen=True):
    amount: int
    currency: str


AttributeValue = str | int | float | bool


class Product(Struct, frozen=True):
    id: UUID
    seller_id: UUID
    title: str
    description: str
    category: str
    price: Money
    attributes: dict[str, AttributeValue]
    created_at: datetime
    updated_at: datetime
    version: int


class ProductFilter(Struct, frozen=True):
    """Conditions that must all hold. Attributes are compared by `attribute_text`; prices are inclusive minor units."""

    category: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    price_min: int | None = None
    price_max: int | None = None


class FacetValue(Struct, frozen=True):
    value: str
    count: int


class Facets(Struct, frozen=True):
    """Counts over the newest matching products: of each category, and of each attribute's values.

    Most frequent first, ties by value; attributes by name. `counted` is the number of products examined, which the
    caller limits.
    """

    counted: int
    categories: tuple[FacetValue, ...]
    attributes: dict[str, tuple[FacetValue, ...]]


class Session(Struct, frozen=True, omit_defaults=True):
    """A signed-in device. `used_at` and `address` are of the last recorded use, None if an earlier version stored it.

    `seen` has, by store, the position that a replica must have reached to serve this account's reads (see
    `repositories/read_your_writes.py`).
    """

    id: UUID
    account_id: UUID
    device: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    address: str | None = None
    seen: tuple[tuple[str, str], ...] = ()


class Ending(Struct, frozen=True):
    """The record that sessions of an account were ended.

    They are the one with `session_id` or, if that is None, all created up to `ended_at` except `kept_id`. `noted_at` is
    when this was recorded, `over_at` when all of them would have expired anyway.
    """

    id: UUID
    account_id: UUID
    session_id: UUID | None
    kept_id: UUID | None
    ended_at: datetime
    noted_at: datetime
    over_at: datetime


class Event(Struct, frozen=True, gc=False):
    """A domain event as an outbox stores it. `payload` is JSON.

    Events of one `aggregate` are dispatched in the order in which they were written. `traceparent` (W3C Trace Context)
    is the trace of the work that wrote the event; empty without one.
    """

    id: UUID
    type: str
    aggregate: str
    happened_at: datetime
    payload: bytes
    traceparent: str = ""


def attribute_text(value: AttributeValue) -> str:
    """An attribute's value in the text form that filters and facets compare: `true`, `42`, `4.5`, `red`.

    A float without a fraction is written as the integer it equals, since JSON has one kind of number.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
