"""The records of a backup of the documents: live documents and tombstones (without content), with their unsent events.

Times are microseconds since 1970. Records are encoded as arrays, with their members in the order of these fields.
"""

from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import fields

from repositories.dump_port import RecordKind
from repositories.records.content import Comment, Post
from repositories.records.products import Product


class KeptEvent(Struct, frozen=True, array_like=True):
    id: UUID
    type: str
    aggregate: str
    happened_at: int
    payload: bytes
    traceparent: str
    publishes: bool
    attempts: int
    due_at: int
    dead_lettered_at: int | None
    reason: str | None


class KeptPost(Struct, frozen=True, array_like=True):
    """A tombstone's counts are 0."""

    id: UUID
    version: int
    comments: int
    comment_seq: int
    deleted_at: int | None
    post: Post | None
    events: tuple[KeptEvent, ...]


class KeptComment(Struct, frozen=True, array_like=True):
    post_id: UUID
    number: int
    deleted_at: int | None
    comment: Comment | None
    events: tuple[KeptEvent, ...]


class KeptProduct(Struct, frozen=True, array_like=True):
    id: UUID
    version: int
    deleted_at: int | None
    product: Product | None
    events: tuple[KeptEvent, ...]


class KeptViews(Struct, frozen=True, array_like=True):
    post_id: UUID
    views: int
    batch: int


_RECORDS: dict[str, type[Struct]] = {
    "posts": KeptPost,
    "comments": KeptComment,
    "products": KeptProduct,
    "views": KeptViews,
}
KINDS = [RecordKind(name, tuple(one.name for one in fields(record)), record) for name, record in _RECORDS.items()]


def key_of(kind: str, record: Any) -> tuple[UUID, int]:
    """The id of the document, and the number of the comment (0 for all other kinds)."""
    if kind == "comments":
        return record.post_id, record.number
    return (record.post_id if kind == "views" else record.id), 0
