"""Envelopes: which events leave the system, in which form and under which type, and why the others stay.

A type ends with the version of its data. Adding a field does not change the version. Removing or renaming a field, or
changing its meaning, makes a new version, which is sent next to the former one for a while.

An envelope is made once and stored in the event log (`prepared`), complete except for the position, which the log
assigns. An envelope made by other code, or for another source, is made again from the event.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from app import events
from repositories.records.events import Event
from repositories.sinks import Message

PUBLISHED: dict[type, str] = {
    events.PostPublished: "post.published.v1",
    events.PostEdited: "post.edited.v1",
    events.PostDeleted: "post.deleted.v1",
    events.CommentAdded: "comment.added.v1",
    events.CommentDeleted: "comment.deleted.v1",
    events.PostLiked: "post.liked.v1",
    events.PostUnliked: "post.unliked.v1",
    events.ProductListed: "product.listed.v1",
    events.ProductEdited: "product.edited.v1",
    events.ProductWithdrawn: "product.withdrawn.v1",
    events.StockPut: "stock.put.v1",
    events.AccountEdited: "account.edited.v1",
    events.AccountDeleted: "account.deleted.v1",
    events.Followed: "account.followed.v1",
    events.Unfollowed: "account.unfollowed.v1",
    events.OrderPlaced: "order.placed.v1",
    events.OrderPaid: "order.paid.v1",
    events.OrderCancelled: "order.cancelled.v1",
    events.OrderShipped: "order.shipped.v1",
    events.OrderFulfilled: "order.fulfilled.v1",
    events.OrderRefused: "order.refused.v1",
    events.OrderRefunded: "order.refunded.v1",
}
KEPT_INSIDE: dict[type, str] = {
    events.Blocked: "the accounts that somebody blocks are private",
    events.PasswordChanged: "concerns security, and would help an attacker",
    events.MailRequested: "an internal request",
    events.EmailChanged: "contains an e-mail address",
    events.FeedRequested: "an internal request",
    events.AuthorReturned: "internal to the feeds",
    events.DepositBegun: "an internal request; nothing has been paid yet",
    events.PayoutBegun: "an internal request; nothing has been paid yet",
    events.LedgerAnchored: "internal to the protection of the ledger",
}
TYPES = frozenset(f"quartet.{name}" for name in PUBLISHED.values())
_BY_NAME = {kind.__name__: kind for kind in PUBLISHED}
PREFIX = "quartet."
SCHEMA = "urn:quartet:event:"


class _Prepared(msgspec.Struct, frozen=True, gc=False):
    """An envelope without the position. The order of the fields is fixed: `id_and_type` finds id and type by offset."""

    specversion: str
    id: UUID
    type: str
    source: str
    subject: str
    time: datetime
    datacontenttype: str
    dataschema: str
    partitionkey: str
    data: msgspec.Struct
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


class CloudEvent(_Prepared, frozen=True, gc=False, kw_only=True):
    """CloudEvents 1.0 in structured mode, with the extensions `partitionkey` and `sequence`.

    `sequence` is the position in the log: of two events of a subject the later one has the greater. `traceparent` is of
    the request that the event came from, where that was traced.
    """

    sequence: str


def leaves(event: Event) -> bool:
    return event.type in _BY_NAME


def name_of(event_type: str) -> str:
    """The envelope type for an event type that leaves the system. A type unknown to this version is returned as is."""
    made = _TYPE_INFO.get(event_type)
    return made.type if made else event_type


def type_of(kind: type) -> str:
    return PREFIX + PUBLISHED[kind]


def schema_of(kind: type) -> str:
    return SCHEMA + PUBLISHED[kind]


class _TypeInfo(NamedTuple):
    """What all envelopes of a type share. `read` decodes their data, without the tag: the type is in the envelope."""

    type: str
    schema: str
    read: Callable[[bytes], msgspec.Struct]


def _type_info(kind: type) -> _TypeInfo:
    data = msgspec.defstruct(kind.__name__, [], bases=(kind,), tag=False, frozen=True)
    return _TypeInfo(type_of(kind), schema_of(kind), msgspec.json.Decoder(data).decode)


_TYPE_INFO = {kind.__name__: _type_info(kind) for kind in PUBLISHED}


_encode = msgspec.json.Encoder().encode
_BEFORE_ID, _BEFORE_TYPE = b'{"specversion":"1.0","id":"', b'","type":"'
_ID = slice(len(_BEFORE_ID), len(_BEFORE_ID) + 36)
_TYPE = _ID.stop + len(_BEFORE_TYPE)
_NAMES = {made.type.encode(): made.type for made in _TYPE_INFO.values()}


def prepared(event: Event, source: str) -> bytes:
    """The envelope of an event in JSON up to its position; `placed` completes it.

    Raises `msgspec.DecodeError` for an event or a payload that no version of this code wrote. The arguments are
    positional, since keywords would take twice the time.
    """
    made = _TYPE_INFO.get(event.type)
    if made is None:
        raise msgspec.ValidationError("this version knows no such event")
    aggregate = event.aggregate
    envelope = _Prepared(
        "1.0",
        event.id,
        made.type,
        source,
        aggregate,
        event.happened_at,
        "application/json",
        made.schema,
        aggregate,
        made.read(event.payload),
        event.traceparent or msgspec.UNSET,
    )
    return _encode(envelope)[:-1] + b',"sequence":"'


def placed(envelope: bytes, position: int) -> bytes:
    """Complete a prepared envelope by its position, which has at most 19 digits."""
    return b'%b%019d"}' % (envelope, position)


def id_and_type(envelope: bytes) -> tuple[str, str]:
    """The id and the type of an envelope made by this code."""
    return envelope[_ID].decode(), _NAMES[envelope[_TYPE : envelope.index(b'"', _TYPE)]]


def messages_of(ready: Iterable[tuple[int, str, bytes]]) -> list[Message]:
    """The messages for events logged with an envelope, given as (position, aggregate, envelope).

    One expression without calls of Python functions, since thousands are made in a hundredth of a second.
    """
    names, ids, at = _NAMES, _ID, _TYPE
    return [
        Message(sent[ids].decode(), key, names[sent[at : sent.index(b'"', at)]], b'%b%019d"}' % (sent, position))
        for position, key, sent in ready
    ]


@functools.cache
def maker(source: str) -> str:
    """A name for the envelopes of this code and source. Code that makes different envelopes has a different name."""
    made_of = [schemas(), _Prepared.__struct_fields__, source]
    return hashlib.sha256(msgspec.json.encode(made_of, order="sorted")).hexdigest()[:16]


def _without_tag(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the tag `type`, since the type is in the envelope."""
    properties = {name: what for name, what in schema["properties"].items() if name != "type"}
    required = [name for name in schema["required"] if name != "type"]
    return {"type": "object", "properties": properties, "required": required}


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of the data of each type, by type. Every field is always sent, so each is required."""
    _, components = msgspec.json.schema_components(tuple(PUBLISHED))
    found = {}
    for kind in PUBLISHED:
        schema = _without_tag(components[kind.__name__])
        schema["required"] = list(schema["properties"])
        about = re.sub(r"\s+", " ", (kind.__doc__ or "").strip())
        found[type_of(kind)] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": schema_of(kind),
            "title": kind.__name__,
            **({"description": about} if about else {}),
            **schema,
        }
    return found
