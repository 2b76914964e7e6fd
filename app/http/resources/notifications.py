"""`/notifications`: follows, likes, comments and changes of orders that concern the caller."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response, request

from app.http.edge import answers, content_coding
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import Moment, Text
from app.http.edge.idempotency import idempotent
from app.http.edge.paging import PageQuery, Position, page_of
from app.http.edge.shapes import AccountSchema
from app.http.whole_pages.inbox_hits import kept_inbox
from app.services.notifications.inbox import CARRIED, MOST_UNREAD, InboxCursor, Notification
from app.services.pages.fragments import moment
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage, unversioned

blp = Blueprint("notifications", "Notifications of follows, likes, comments and orders")

KINDS = ("follow", "like", "comment", "order")
ORDER_NEWS = ("sold", "paid", "fulfilled", "cancelled", "refunded", "shipped", "refused")


class NotificationQuery(PageQuery):
    cursor = Text(
        load_default=None,
        validate=ma.validate.Length(1, 1000 + 8 * CARRIED),
        metadata={"description": "`next` of the previous page"},
    )


class NotificationSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True, validate=ma.validate.OneOf(KINDS))
    post_id = ma.fields.UUID(
        required=True, allow_none=True, metadata={"description": "the post that was liked or commented on"}
    )
    order_id = ma.fields.UUID(required=True, allow_none=True)
    state = ma.fields.String(
        required=True,
        allow_none=True,
        validate=ma.validate.OneOf([*ORDER_NEWS, None]),
        metadata={"description": "the change of the order: `sold` is sent to its sellers, the others to its buyer"},
    )
    actors = ma.fields.List(
        ma.fields.Nested(AccountSchema),
        required=True,
        metadata={"description": "up to three of the accounts, newest first"},
    )
    others = ma.fields.Integer(required=True, metadata={"description": "number of accounts beyond `actors`"})
    count = ma.fields.Integer(required=True, metadata={"description": "number of different accounts"})
    at = Moment(required=True)
    read = ma.fields.Boolean(required=True)


UNREAD = {"description": f"number of unread items; {MOST_UNREAD} means that many or more"}
NotificationPage = page_of(
    NotificationSchema,
    "NotificationPage",
    unread_count=ma.fields.Integer(required=True, metadata=UNREAD),
    newest=ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata={
            "description": "the newest item of the list, to send as `up_to` when marking it as read; null if empty"
        },
    ),
)


class ReadSchema(ma.Schema):
    class Meta:
        empty = True

    up_to = ma.fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={"description": "a notification's id, or a page's `newest`; default: all"},
    )


class UnreadSchema(ma.Schema):
    unread_count = ma.fields.Integer(required=True, metadata=UNREAD)


@blp.get("/notifications")
@private
@budget(relational=3, documents=2, feeds=3, sessions=1, cache=10)
@blp.arguments(NotificationQuery, location="query")
@blp.response(200, NotificationPage)
@blp.raises(503)
def list_notifications(query: dict[str, Any]) -> Response:
    """List your notifications, those with the newest activity first.

    Activities of one kind about one subject on one UTC day form one item: `actors[0]` and `count - 1` others. All pages
    of a list show the state at which its first page was read. A page may have fewer items than `limit` although `next`
    is not null.
    """
    owner, limit = caller(), query["limit"]
    if query["cursor"]:
        return answers.checked(_page(owner, limit, query["cursor"]))
    return answers.checked(kept_inbox(owner, limit, lambda used: _page(owner, limit, None, used)))


@blp.post("/notifications/read")
@private
@budget(relational=9, documents=1, feeds=7, sessions=1, cache=4)
@blp.arguments(ReadSchema, required=False)
@blp.response(200, UnreadSchema)
@blp.raises(503)
@idempotent()
def mark_notifications_read(wanted: dict[str, Any]) -> Response:
    """Mark notifications as read. Read notifications cannot become unread again."""
    return answers.plain({"unread_count": container().notifications.inbox.read(caller(), wanted["up_to"])})


def _page(owner: UUID, limit: int, cursor: str | None, used: Used | None = None) -> WholePage:
    scope = f"notifications:{owner}"
    place = _place(cursors().read(scope, cursor)) if cursor else None
    page = container().notifications.inbox.page(owner, limit, place, used)
    onward = cursors().issue(scope, _position(page.onward) if page.onward else None)
    items = map(notification_item, page.items)
    made = unversioned(answers.listed(items, onward, unread_count=page.unread, newest=page.newest))
    made.form(content_coding.wanted(request.headers.get("Accept-Encoding"), made.body))
    return made


def notification_item(shown: Notification) -> bytes:
    item = shown.item
    return msgspec.json.encode(
        {
            "id": item.id,
            "kind": item.kind,
            "post_id": item.subject if item.kind in {"like", "comment"} else None,
            "order_id": item.subject if item.kind == "order" else None,
            "state": item.detail or None,
            "actors": [msgspec.Raw(account) for account in shown.actors],
            "others": shown.count - len(shown.actors),
            "count": shown.count,
            "at": moment(item.at),
            "read": shown.read,
        }
    )


def _position(place: InboxCursor) -> Position:
    shown = urlsafe_b64encode(struct.pack(f">{len(place.shown)}I", *place.shown)).decode()
    return [_hex(place.newest), place.below.hex, shown, _hex(place.ceiling)]


def _place(position: list[Any]) -> InboxCursor:
    newest, below, packed, ceiling = position
    shown = urlsafe_b64decode(packed)
    return InboxCursor(_uuid(newest), UUID(below), struct.unpack(f">{len(shown) // 4}I", shown), _uuid(ceiling))


def _hex(known: UUID | None) -> str:
    return known.hex if known else ""


def _uuid(text: str) -> UUID | None:
    return UUID(text) if text else None
