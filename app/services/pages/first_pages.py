"""The first pages of lists, kept as ids: of all posts and products, and by tag, author and category.

A list is kept in two lengths. A page reads the shorter one that is long enough, so that a page of 20 does not load 100.
Every write that changes a list drops both, and so does its event.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from app.services.feeds.page_windows import Window
from app.services.feeds.timelines import Timelines
from app.services.pages.fragments import encode
from app.services.pages.kinds import Kind, Used, schema_of
from app.services.pages.read_through import ReadThrough
from repositories.documents import DocumentStore
from repositories.hot import Value
from repositories.records.content import PostRef, TagCount
from repositories.records.products import ProductFilter

LENGTHS = (20, 100)
FRESH_SECONDS = 30.0
T = TypeVar("T")


class ListedIds(Struct, frozen=True):
    """`onward` is the id after which the list continues, None if it ends here."""

    ids: tuple[UUID, ...]
    onward: UUID | None


class ListedTags(Struct, frozen=True):
    tags: tuple[TagCount, ...]
    more: bool


class PostList(Struct, frozen=True):
    length: int
    author: UUID | None = None
    tag: str | None = None

    def __str__(self) -> str:
        return f"{self.length}:{self.author or ''}:{'' if self.tag is None else '#' + self.tag}"


class AuthorList(Struct, frozen=True):
    length: int
    author: UUID

    def __str__(self) -> str:
        return f"{self.length}:{self.author}"


class ProductList(Struct, frozen=True):
    length: int
    category: str | None = None

    def __str__(self) -> str:
        return f"{self.length}:{'' if self.category is None else '#' + self.category}"


class FirstPages:
    def __init__(self, documents: DocumentStore, timelines: Timelines, through: ReadThrough, fresh: float) -> None:
        self._documents = documents
        self._timelines = timelines
        self._through = through
        seconds, ids, tags = min(fresh, FRESH_SECONDS), schema_of(ListedIds), schema_of(ListedTags)
        self.post_lists: Kind[PostList] = Kind("list:posts", ids, _each(self._load_posts), seconds)
        self.author_lists: Kind[AuthorList] = Kind("list:author", ids, _each(self._load_author), seconds)
        self.product_lists: Kind[ProductList] = Kind("list:products", ids, _each(self._load_products), seconds)
        self.tag_lists: Kind[int] = Kind("list:tags", tags, _each(self._load_tags), seconds)

    def posts(self, limit: int, author: UUID | None, tag: str | None, used: Used | None = None) -> ListedIds:
        return _cut(self._read(self.post_lists, PostList(_length(limit), author, tag), ListedIds, used), limit)

    def of_author(self, limit: int, author: UUID, used: Used | None = None) -> ListedIds:
        """The first page of an account's timeline. It may be short and still have an `onward`."""
        return _cut(self._read(self.author_lists, AuthorList(_length(limit), author), ListedIds, used), limit)

    def products(self, limit: int, category: str | None, used: Used | None = None) -> ListedIds:
        return _cut(self._read(self.product_lists, ProductList(_length(limit), category), ListedIds, used), limit)

    def tags(self, limit: int, used: Used | None = None) -> ListedTags:
        found = self._read(self.tag_lists, _length(limit), ListedTags, used)
        return ListedTags(found.tags[:limit], found.more or len(found.tags) > limit)

    def _read(self, kind: Kind[Any], of: Any, record: type[T], used: Used | None) -> T:
        return msgspec.json.decode(self._through.get(kind, [of], used)[of].body or b"", type=record)

    def _load_posts(self, of: PostList) -> ListedIds:
        found = self._documents.posts.page(before=None, limit=of.length + 1, author=of.author, tag=of.tag)
        return _first([post.id for post in found], of.length)

    def _load_author(self, of: AuthorList) -> ListedIds:
        page = self._timelines.author(of.author, Window(limit=of.length), self._existing)
        return ListedIds(page.ids, page.onward)

    def _existing(self, refs: Sequence[PostRef]) -> dict[UUID, PostRef]:
        authors = self._documents.posts.authors([ref.post_id for ref in refs])
        return {ref.post_id: ref for ref in refs if authors.get(ref.post_id) == ref.author_id}

    def _load_products(self, of: ProductList) -> ListedIds:
        where = ProductFilter(category=of.category)
        found = self._documents.products.page(where, before=None, limit=of.length + 1)
        return _first([product.id for product in found], of.length)

    def _load_tags(self, length: int) -> ListedTags:
        found = self._documents.posts.tags(after=None, limit=length + 1)
        return ListedTags(tuple(found[:length]), len(found) > length)


def _each(load: Callable[[Any], Any]) -> Callable[[Collection[Any]], dict[Any, Value]]:
    """Make a `Kind.load` from a function that loads one list, since a request asks for one list."""
    return lambda of: {one: Value(encode(load(one))) for one in of}


def _length(limit: int) -> int:
    return next(length for length in LENGTHS if limit <= length)


def _first(ids: list[UUID], length: int) -> ListedIds:
    return ListedIds(tuple(ids[:length]), ids[length - 1] if len(ids) > length else None)


def _cut(found: ListedIds, limit: int) -> ListedIds:
    return found if len(found.ids) <= limit else ListedIds(found.ids[:limit], found.ids[limit - 1])
