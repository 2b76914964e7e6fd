"""Posts, comments and tags."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


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
