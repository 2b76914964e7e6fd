"""Records to bytes. A card's parts are encoded apart and laid side by side, so that each may be cached apart.

msgspec writes no fraction for whole seconds; the API always has six digits, so times are formatted here.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from flask import Response, request

from app.services.cards import AccountCard, CommentCard, PostCard, ProductCard
from app.services.sessions import SignedIn
from repositories.money_records import PROVIDER, Balance, Entry, Order, OrderLine, Transfer
from repositories.records import Account, Comment, Facets, Money, Post, Product, Session, TagCount

JSON = "application/json"
_encode = msgspec.json.Encoder().encode


def moment(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds. Records hold UTC only, so the offset is cut and written as Z."""
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def post_part(post: Post) -> bytes:
    return _encode(
        {
            "id": post.id,
            "author_id": post.author_id,
            "title": post.title,
            "body": post.body,
            "tags": post.tags,
            "product_ids": post.product_ids,
            "created_at": moment(post.created_at),
            "updated_at": moment(post.updated_at),
            "version": post.version,
        }
    )


def account_part(account: Account, email: str | None = None) -> bytes:
    """`email` is for the account itself only."""
    part = {
        "id": account.id,
        "handle": account.handle,
        "display_name": account.display_name,
        "bio": account.bio,
        "image_url": account.image_url,
        "created_at": moment(account.created_at),
        "version": account.version,
    }
    return _encode(part if email is None else {**part, "email": email})


def product_part(product: Product) -> bytes:
    return _encode(
        {
            "id": product.id,
            "seller_id": product.seller_id,
            "title": product.title,
            "description": product.description,
            "category": product.category,
            "price": product.price,
            "attributes": product.attributes,
            "created_at": moment(product.created_at),
            "updated_at": moment(product.updated_at),
            "version": product.version,
        }
    )


def comment_part(comment: Comment) -> bytes:
    return _encode({"number": comment.number, "body": comment.body, "created_at": moment(comment.created_at)})


def post_card(card: PostCard) -> bytes:
    return _laid(
        post=post_part(card.post),
        author=account_part(card.author),
        stats=_encode(card.stats),
        viewer=card.viewer,
    )


def account_card(card: AccountCard, email: str | None = None) -> bytes:
    return _laid(account=account_part(card.account, email), stats=_encode(card.stats), viewer=card.viewer)


def product_card(card: ProductCard) -> bytes:
    return _laid(
        product=product_part(card.product),
        seller=account_part(card.seller),
        stock=_encode({"available": card.available}),
    )


def comment_card(card: CommentCard) -> bytes:
    return _laid(comment=comment_part(card.comment), author=account_part(card.author))


def session_item(session: Session, current: Session) -> bytes:
    return _encode(
        {
            "id": session.id,
            "device": session.device,
            "created_at": moment(session.created_at),
            "expires_at": moment(session.expires_at),
            "current": session.id == current.id,
        }
    )


def signed_in(signed: SignedIn, account: Account) -> Response:
    body = {
        "token": signed.token,
        "expires_at": moment(signed.session.expires_at),
        "account": msgspec.Raw(account_part(account)),
    }
    return _answer(_encode(body), 201)


def balance_item(balance: Balance) -> bytes:
    amounts = {"posted": balance.posted, "held": balance.held, "available": balance.available}
    return _encode(
        {"currency": balance.currency} | {name: Money(amount, balance.currency) for name, amount in amounts.items()}
    )


def entry_item(entry: Entry, currency: str, other: Account | None) -> bytes:
    return _encode(
        {
            "sequence": entry.sequence,
            "transfer_id": entry.transfer_id,
            "kind": entry.kind,
            "other": msgspec.Raw(account_part(other)) if other else None,
            "order_id": entry.order_id,
            "amount": Money(entry.amount, currency),
            "balance": Money(entry.balance, currency),
            "at": moment(entry.at),
        }
    )


def transfer_part(transfer: Transfer) -> bytes:
    return _encode(
        {
            "id": transfer.id,
            "kind": transfer.kind,
            "from_id": None if transfer.debit == PROVIDER else transfer.debit,
            "to_id": transfer.credit,
            "amount": transfer.amount,
            "created_at": moment(transfer.created_at),
        }
    )


def order_part(order: Order) -> bytes:
    currency = order.total.currency
    return _encode(
        {
            "id": order.id,
            "buyer_id": order.buyer_id,
            "state": order.state,
            "total": order.total,
            "refunded": Money(order.refunded, currency),
            "lines": [_line(line, currency) for line in order.lines],
            "created_at": moment(order.created_at),
            "updated_at": moment(order.moved_at or order.created_at),
            "version": order.version,
        }
    )


def tag_item(tag: TagCount) -> bytes:
    return _encode(tag)


def page(items: Iterable[bytes], onward: str | None, **more: Any) -> Response:
    """`more` are further members beside `items` and `next`."""
    tail = b"".join(b"," + _encode(name) + b":" + _encode(value) for name, value in more.items())
    return _answer(b'{"items":[' + b",".join(items) + b'],"next":' + _encode(onward) + tail + b"}")


def thing(body: bytes, version: int, status: int = 200, location: str | None = None) -> Response:
    """One versioned thing with its strong entity tag; a 304 where the reader has just this representation."""
    tag = f'"{version}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    fresh = status == 200 and request.method in {"GET", "HEAD"} and _known(tag)
    answer = Response(status=304) if fresh else _answer(body, status)
    answer.headers["ETag"] = tag
    if location:
        answer.headers["Location"] = location
    return answer


def plain(body: Any, status: int = 200) -> Response:
    return _answer(_encode(body), status)


def created(body: bytes, location: str) -> Response:
    """A new thing without a version of its own."""
    answer = _answer(body, 201)
    answer.headers["Location"] = location
    return answer


def nothing() -> Response:
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


def facets_part(facets: Facets) -> dict[str, Any]:
    return {"counted": facets.counted, "category": facets.categories, "attributes": facets.attributes}


def _line(line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "product_id": line.product_id,
        "product_version": line.product_version,
        "title": line.title,
        "seller_id": line.seller_id,
        "unit_price": Money(line.unit_price, currency),
        "quantity": line.quantity,
    }


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type=JSON)


def _laid(viewer: Any = None, **parts: bytes) -> bytes:
    if viewer is not None:
        parts["viewer"] = _encode(viewer)
    return b"{" + b",".join(b'"' + name.encode() + b'":' + part for name, part in parts.items()) + b"}"


def _known(tag: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, section 13.1.2)."""
    sent: Sequence[str] = request.headers.get("If-None-Match", "").split(",")
    return any(s.strip() in {"*", tag, f"W/{tag}"} for s in sent)
