"""The fragments of a card as bytes, and cards assembled from them without encoding anything twice.

A part is stored as the API shows it. msgspec writes no fraction for whole seconds; the API always has six digits, so
times are formatted here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from repositories.records.content import Comment, Post
from repositories.records.people import Account
from repositories.records.products import Product

encode = msgspec.json.Encoder().encode


def moment(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds. Records hold UTC only, so the offset is cut and written as Z."""
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def post_part(post: Post) -> bytes:
    return encode(
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


def account_part(account: Account) -> bytes:
    return encode(
        {
            "id": account.id,
            "handle": account.handle,
            "display_name": account.display_name,
            "bio": account.bio,
            "image_url": account.image_url,
            "created_at": moment(account.created_at),
            "version": account.version,
        }
    )


def product_part(product: Product) -> bytes:
    return encode(
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
    return encode({"number": comment.number, "body": comment.body, "created_at": moment(comment.created_at)})


def assembled(parts: Mapping[str, bytes], viewer: Any = None) -> bytes:
    """One JSON object of parts that are already encoded, with the viewer's own part at its end."""
    body = b"{" + b",".join(b'"' + name.encode() + b'":' + part for name, part in parts.items()) + b"}"
    return body if viewer is None else with_member(body, "viewer", viewer)


def own_part(account: bytes, email: str, *, verified: bool) -> bytes:
    """An account part with the members that only the account itself may see."""
    return with_member(with_member(account, "email", email), "email_verified", verified)


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """A JSON object with one more member. It must not be empty."""
    return body[:-1] + member(name, value) + b"}"


def member(name: str, value: Any) -> bytes:
    """One more member, with its leading comma, for the end of an object."""
    return b"," + encode(name) + b":" + encode(value)
