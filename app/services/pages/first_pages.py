"""The first pages of lists, kept as ids: of all posts and products, and by tag, author and category.

A list is kept in two lengths, of which a page takes the shorter that will do: a page of 20 does not load 100. Every
write that changes a list drops both; so does its event.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct

from app.services.feeds.timelines import Timelines, Window
from repositories.documents import Documents
from repositories.readthrough import ReadThrough, Records, Used, Wanted
from repositories.records import ProductFilter, TagCount

LENGTHS = (20, 100)
FRESH_SECONDS = 30.0


class Ids(Struct, frozen=True):
    """`more` tells whether there is something behind the last of them, `onward` where to go on from there."""

    ids: tuple[UUID, ...]
    onward: UUID | None


class Tags(Struct, frozen=True):
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


class Firsts:
    def __init__(self, documents: Documents, timelines: Timelines, through: ReadThrough, fresh: float) -> None:
        """`documents` without a cache: what is loaded must not come out of one."""
        self._documents = documents
        self._timelines = timelines
        seconds = min(fresh, FRESH_SECONDS)
        self._posts = Records(through, "list:posts", Ids, _each(self._load_posts), fresh=seconds)
        self._authors = Records(through, "list:author", Ids, _each(self._load_author), fresh=seconds)
        self._products = Records(through, "list:products", Ids, _each(self._load_products), fresh=seconds)
        self._tags = Records(through, "list:tags", Tags, _each(self._load_tags), fresh=seconds)

    def posts(self, limit: int, author: UUID | None, tag: str | None, used: Used | None = None) -> Ids:
        return _cut(_one(self._posts, PostList(_length(limit), author, tag), used), limit)

    def of_author(self, limit: int, author: UUID, used: Used | None = None) -> Ids:
        """An account's timeline, which may end before it is full and yet go on."""
        return _cut(_one(self._authors, AuthorList(_length(limit), author), used), limit)

    def products(self, limit: int, category: str | None, used: Used | None = None) -> Ids:
        return _cut(_one(self._products, ProductList(_length(limit), category), used), limit)

    def tags(self, limit: int, used: Used | None = None) -> Tags:
        found = _one(self._tags, _length(limit), used)
        return Tags(found.tags[:limit], found.more or len(found.tags) > limit)

    def with_post(self, author: UUID, tags: Collection[str]) -> Wanted:
        """The lists that a post is in."""
        lists = [PostList(n, a, tag) for n in LENGTHS for a in (None, author) for tag in (None, *tags)]
        return {
            self._posts.kind: lists,
            self._authors.kind: [AuthorList(n, author) for n in LENGTHS],
            self._tags.kind: LENGTHS if tags else (),
        }

    def with_tags(self, author: UUID, tags: Collection[str]) -> Wanted:
        """The lists that a post comes into or leaves with these tags."""
        lists = [PostList(n, a, tag) for n in LENGTHS for a in (None, author) for tag in tags]
        return {self._posts.kind: lists, self._tags.kind: LENGTHS if tags else ()}

    def with_product(self, categories: Iterable[str | None]) -> Wanted:
        """The lists of these categories; None for that of all products."""
        return {self._products.kind: [ProductList(n, category) for n in LENGTHS for category in categories]}

    def _load_posts(self, of: PostList) -> Ids:
        found = self._documents.posts.page(before=None, limit=of.length + 1, author=of.author, tag=of.tag)
        return _first([post.id for post in found], of.length)

    def _load_author(self, of: AuthorList) -> Ids:
        page = self._timelines.author(of.author, Window(limit=of.length))
        return Ids(tuple(post.id for post in page.posts), page.onward)

    def _load_products(self, of: ProductList) -> Ids:
        where = ProductFilter(category=of.category)
        found = self._documents.products.page(where, before=None, limit=of.length + 1)
        return _first([product.id for product in found], of.length)

    def _load_tags(self, length: int) -> Tags:
        found = self._documents.posts.tags(after=None, limit=length + 1)
        return Tags(tuple(found[:length]), len(found) > length)


def _each(load: Callable[[Any], Any]) -> Callable[[Collection[Any]], dict[Any, Any]]:
    """A request asks for one list."""
    return lambda of: {one: load(one) for one in of}


def _one(records: Records[Any, Any], of: Any, used: Used | None) -> Any:
    return records.get([of], used)[of]


def _length(limit: int) -> int:
    return next(length for length in LENGTHS if limit <= length)


def _first(ids: list[UUID], length: int) -> Ids:
    return Ids(tuple(ids[:length]), ids[length - 1] if len(ids) > length else None)


def _cut(found: Ids, limit: int) -> Ids:
    return found if len(found.ids) <= limit else Ids(found.ids[:limit], found.ids[limit - 1])
