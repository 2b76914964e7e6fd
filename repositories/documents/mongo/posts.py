"""Posts in MongoDB: one document per post, with its tags, its comment count and its unsent events."""

from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from pymongo import UpdateOne

from repositories.batched import batched
from repositories.documents.mongo import pull, versioned_writes
from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.events import born_with
from repositories.documents.mongo.pull import IdRange, Source
from repositories.documents.mongo.versioned_writes import LIVE, LOADED_AT_ONCE
from repositories.documents.port import PostStore
from repositories.documents.times import micros, moment
from repositories.records.content import Post, PostRef, TagCount
from repositories.records.events import Event


@follows_primary
class MongoPosts(PostStore):
    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def add(self, post: Post, event: Event) -> None:
        uncommented = {"comments": 0, "comment_seq": 0}
        with self._connection.calling():
            self.know(post.tags)
            self._posts.insert_one(document_of(post) | uncommented | born_with(event, publishes=True))

    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        with self._connection.calling():
            found = [post_of(one) for one in self._posts.find({"_id": {"$in": list(ids)}, **LIVE}, FIELDS)]
        return {post.id: post for post in found}

    def authors(self, ids: Collection[UUID]) -> dict[UUID, UUID]:
        with self._connection.calling():
            found = self._posts.find({"_id": {"$in": list(ids)}, **LIVE}, {"author_id": 1})
            return {one["_id"]: one["author_id"] for one in found}

    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        with self._connection.calling():
            self.know(post.tags)
            versioned_writes.replace(self._posts, document_of(post), event, if_version=if_version)

    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        with self._connection.calling():
            versioned_writes.delete(self._posts, post_id, event, if_version=if_version)

    def delete_of(self, author_id: UUID, announce: Callable[[Post], Event], *, limit: int) -> list[Post]:
        with self._connection.calling():
            found = self._posts.find({"author_id": author_id, **LIVE}, FIELDS).sort("_id").limit(limit)
            posts = [post_of(one) for one in found]
            versioned_writes.bury(self._posts, [(post.id, announce(post)) for post in posts])
        return posts

    def page(
        self, *, before: UUID | None, limit: int, author: UUID | None = None, tag: str | None = None
    ) -> list[Post]:
        if limit < 1:
            return []
        which: Document = dict(LIVE)
        which |= {} if author is None else {"author_id": author}
        which |= {} if tag is None else {"tags": tag}
        which |= {} if before is None else {"_id": {"$lt": before}}
        with self._connection.calling():
            return [post_of(found) for found in self._posts.find(which, FIELDS).sort("_id", -1).limit(limit)]

    def by_authors(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        return self._pulled(pull.ALL, authors, IdRange(before, after, limit))

    def in_flight(
        self, authors: Collection[UUID] | None, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        span = IdRange(before, after, limit)
        if authors is not None:
            return self._pulled(pull.IN_FLIGHT, authors, span)
        return self._references({"in_flight": True, "author_id": {"$ne": None}}, "in_flight_ids", span)

    def ids(self, *, after: UUID | None, limit: int) -> list[PostRef]:
        return self._references(LIVE, "_id_", IdRange(None, after, limit, upward=True))

    def buried(self, ids: Collection[UUID]) -> set[UUID]:
        which = {"_id": {"$in": list(ids)}, "deleted_at": {"$ne": None}}
        with self._connection.calling():
            return {found["_id"] for found in self._posts.find(which, {"_id": 1})}

    def counts(self, authors: Collection[UUID]) -> dict[UUID, int]:
        per_author = {"$group": {"_id": "$author_id", "posts": {"$sum": 1}}}
        with self._connection.calling():
            found = self._posts.aggregate([{"$match": {"author_id": {"$in": list(authors)}}}, per_author])
            return dict.fromkeys(authors, 0) | {one["_id"]: one["posts"] for one in found}

    def tags(self, *, after: str | None, limit: int) -> list[TagCount]:
        """Go through the known tags and count the posts of each by the index, until the page is full."""
        if limit < 1:
            return []
        beyond: list[Document] = [] if after is None else [{"$match": {"_id": {"$gt": after}}}]
        with self._connection.calling():
            known = self._connection.collection("tags")
            found = list(known.aggregate([*beyond, *COUNTED, {"$limit": limit}]))
        return [TagCount(one["_id"], one["counted"][0]["posts"]) for one in found]

    def load(self, posts: Sequence[Post]) -> None:
        with self._connection.calling():
            self.know({tag for post in posts for tag in post.tags})
        for some in batched(posts, LOADED_AT_ONCE):
            with self._connection.calling():
                versioned_writes.load(self._posts, [document_of(p) | {"comments": 0, "comment_seq": 0} for p in some])

    @property
    def _posts(self) -> versioned_writes.Documents:
        return self._connection.collection("posts")

    def know(self, tags: Iterable[str]) -> None:
        """Register tags. Called before the posts that have them are stored, so that `tags` misses none."""
        known = [UpdateOne({"_id": tag}, {"$setOnInsert": {}}, upsert=True) for tag in sorted(set(tags))]
        if known:
            self._connection.collection("tags").bulk_write(known, ordered=False)

    def _pulled(self, source: Source, authors: Collection[UUID], span: IdRange) -> list[PostRef]:
        with self._connection.calling():
            return pull.pulled(self._posts, source, authors, span) if span.limit > 0 else []

    def _references(self, which: Document, index: str, span: IdRange) -> list[PostRef]:
        with self._connection.calling():
            return pull.references(self._posts, which, index, span) if span.limit > 0 else []


FIELDS = dict.fromkeys(("author_id", "title", "body", "tags", "product_ids", "created_at", "updated_at", "version"), 1)
COUNTED: list[Document] = [
    {"$sort": {"_id": 1}},
    {
        "$lookup": {
            "from": "posts",
            "localField": "_id",
            "foreignField": "tags",
            "pipeline": [{"$count": "posts"}],
            "as": "counted",
        }
    },
    {"$match": {"counted": {"$ne": []}}},
]


def document_of(post: Post) -> Document:
    return {
        "_id": post.id,
        "author_id": post.author_id,
        "title": post.title,
        "body": post.body,
        "tags": list(post.tags),
        "product_ids": list(post.product_ids),
        "created_at": micros(post.created_at),
        "updated_at": micros(post.updated_at),
        "version": post.version,
    }


def post_of(found: Document) -> Post:
    return Post(
        id=found["_id"],
        author_id=found["author_id"],
        title=found["title"],
        body=found["body"],
        tags=tuple(found["tags"]),
        product_ids=tuple(found["product_ids"]),
        created_at=moment(found["created_at"]),
        updated_at=moment(found["updated_at"]),
        version=int(found["version"]),
    )
