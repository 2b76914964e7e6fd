"""Comments in MongoDB: a separate collection, keyed by post and number. The post has the last number and the count.

Reads join the post, so that deleting a post hides its comments at once.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pymongo import ReturnDocument, UpdateMany, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from repositories.batched import batched
from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.events import born_with, buried, derived
from repositories.documents.mongo.sharding import among, comments_above
from repositories.documents.mongo.versioned_writes import DUPLICATE_KEY, LIVE, LOADED_AT_ONCE, Documents, bury
from repositories.documents.port import CommentStore
from repositories.documents.times import micros, moment
from repositories.errors import NotFound
from repositories.records.content import Comment
from repositories.records.events import Event

RECOUNTED_AT_ONCE = 100  # posts per transaction, each with its own deadline
COUNTED: Document = {"$group": {"_id": "$_id.post", "comments": {"$sum": 1}}}


@follows_primary
class MongoComments(CommentStore):
    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def add(
        self, post_id: UUID, author_id: UUID, body: str, at: datetime, announce: Callable[[Comment], Event]
    ) -> Comment:
        def store(session: ClientSession) -> Comment:
            number = self._next_number(post_id, session)
            comment = Comment(post_id, number, author_id, body, at)
            self._comments.insert_one(document_of(comment) | born_with(announce(comment)), session=session)
            return comment

        return self._connection.transaction(store, of=post_id)

    def get(self, post_id: UUID, number: int) -> Comment | None:
        found = self._of_post(post_id, {"_id": _key(post_id, number)}, limit=1)
        return found[0] if found else None

    def page(self, post_id: UUID, *, after: int | None, limit: int) -> list[Comment]:
        return self._of_post(post_id, comments_above(post_id, after), limit=limit) if limit > 0 else []

    def by_author(self, author_id: UUID, *, after: tuple[UUID, int] | None, limit: int) -> list[Comment]:
        if limit < 1:
            return []
        above = {} if after is None else {"_id": {"$gt": _key(*after)}}
        live: list[Document] = [{"$match": LIVE}, {"$project": {"_id": 1}}]
        post = {"from": "posts", "localField": "_id.post", "foreignField": "_id", "pipeline": live, "as": "post"}
        stages: list[Document] = [
            {"$match": {"author_id": author_id, **above, **LIVE}},
            {"$sort": {"_id": 1}},
            {"$lookup": post},
            {"$match": {"post": {"$ne": []}}},
            {"$limit": limit},
        ]
        with self._connection.calling():
            return [comment_of(found) for found in self._comments.aggregate(stages)]

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        with self._connection.calling():
            found = self._posts.find({"_id": {"$in": list(post_ids)}, **LIVE}, {"comments": 1})
            return dict.fromkeys(post_ids, 0) | {post["_id"]: int(post["comments"]) for post in found}

    def delete(self, post_id: UUID, number: int, event: Event) -> None:
        def bury_one(session: ClientSession) -> None:
            fewer = {"$inc": {"comments": -1}}
            post = self._posts.update_one({"_id": post_id, **LIVE}, fewer, session=session)
            which = {"_id": _key(post_id, number), **LIVE}
            comment = self._comments.update_one(which, buried(event), session=session)
            if not (post.matched_count and comment.matched_count):
                raise NotFound

        self._connection.transaction(bury_one, of=post_id)

    def delete_of(self, author_id: UUID, announce: Callable[[Comment], Event], *, limit: int) -> list[Comment]:
        def bury_all(session: ClientSession) -> list[Comment]:
            found = self._comments.find({"author_id": author_id, **LIVE}, session=session).sort("_id").limit(limit)
            comments = [comment_of(one) for one in found]
            fewer = Counter(comment.post_id for comment in comments)
            updates = [UpdateOne({"_id": i, **LIVE}, {"$inc": {"comments": -n}}) for i, n in fewer.items()]
            if updates:
                self._posts.bulk_write(updates, ordered=False, session=session)
            events = [(_key(comment.post_id, comment.number), announce(comment)) for comment in comments]
            bury(self._comments, events, session)
            return comments

        return self._connection.transaction(bury_all, of=author_id)

    def recount(self, post_ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        """In transactions, since a comment and the count are also written in one transaction."""
        wrong = dict[UUID, tuple[int, int]]()
        for some in batched(post_ids, RECOUNTED_AT_ONCE):
            wrong |= self._connection.transaction(partial(self._recount, some, repair=repair), of=some[0])
        return wrong

    def load(self, comments: Sequence[Comment]) -> None:
        for some in batched(comments, LOADED_AT_ONCE):
            try:
                self._connection.transaction(partial(self._load_new, some), of=some[0].post_id)
            except _NotAllNew:
                self._connection.transaction(partial(self._load, some), of=some[0].post_id)

    @property
    def _posts(self) -> Documents:
        return self._connection.collection("posts")

    @property
    def _comments(self) -> Documents:
        return self._connection.collection("comments")

    def _next_number(self, post_id: UUID, session: ClientSession) -> int:
        post = self._posts.find_one_and_update(
            {"_id": post_id, **LIVE},
            {"$inc": {"comments": 1, "comment_seq": 1}},
            {"comment_seq": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if post is None:
            raise NotFound
        return int(post["comment_seq"])

    def _of_post(self, post_id: UUID, which: Document, *, limit: int) -> list[Comment]:
        comments = [{"$match": which | LIVE}, {"$sort": {"_id": 1}}, {"$limit": limit}]
        stages: list[Document] = [
            {"$match": {"_id": post_id, **LIVE}},
            {"$lookup": {"from": "comments", "pipeline": comments, "as": "comment"}},
            {"$unwind": "$comment"},
            {"$replaceWith": "$comment"},
        ]
        with self._connection.calling():
            return [comment_of(found) for found in self._posts.aggregate(stages)]

    def _load_new(self, comments: Sequence[Comment], session: ClientSession) -> None:
        """The usual case: no comment is stored yet and every post exists. Raises `_NotAllNew` otherwise."""
        try:
            self._comments.insert_many([document_of(comment) for comment in comments], session=session)
        except BulkWriteError as error:
            if error.details["writeErrors"] and error.details["writeErrors"][0]["code"] == DUPLICATE_KEY:
                raise _NotAllNew from error
            raise
        posts, counting = _counted(comments)
        if self._posts.bulk_write(counting, ordered=False, session=session).matched_count < posts:
            raise _NotAllNew

    def _load(self, comments: Sequence[Comment], session: ClientSession) -> None:
        """Insert the missing comments of existing posts, and count exactly these, in one transaction."""
        posts = self._ids(self._posts, {"_id": {"$in": list({c.post_id for c in comments})}, **LIVE}, session)
        keys = [_key(comment.post_id, comment.number) for comment in comments]
        there = {tuple(key.values()) for key in self._ids(self._comments, among("comments", keys), session)}
        unique = {(comment.post_id, comment.number): comment for comment in comments}
        new = [c for key, c in unique.items() if c.post_id in posts and key not in there]
        if new:
            self._comments.insert_many([document_of(comment) for comment in new], session=session)
            _, counting = _counted(new)
            self._posts.bulk_write(counting, ordered=False, session=session)

    def _recount(self, post_ids: list[UUID], session: ClientSession, *, repair: bool) -> dict[UUID, tuple[int, int]]:
        found = self._posts.find({"_id": {"$in": post_ids}, **LIVE}, {"comments": 1}, session=session)
        noted = {one["_id"]: int(one["comments"]) for one in found}
        true = self._counted(list(noted), session)
        wrong = {
            post: (comments, true.get(post, 0)) for post, comments in noted.items() if true.get(post, 0) != comments
        }
        if repair and wrong:
            right = [UpdateOne({"_id": i}, {"$set": {"comments": n}}) for i, (_, n) in wrong.items()]
            self._posts.bulk_write(right, ordered=False, session=session)
        return wrong

    def _counted(self, post_ids: list[UUID], session: ClientSession) -> dict[UUID, int]:
        """Without `$lookup`, which MongoDB before 8 rejects on sharded collections inside a transaction."""
        if not post_ids:
            return {}
        which = {"$or": [comments_above(post, None) for post in post_ids], **LIVE}
        found = self._comments.aggregate([{"$match": which}, COUNTED], session=session)
        return {one["_id"]: int(one["comments"]) for one in found}

    def _ids(self, collection: Documents, which: Document, session: ClientSession) -> list[Any]:
        return [found["_id"] for found in collection.find(which, {"_id": 1}, session=session)]


def clear_comments(connection: MongoConnection, post_id: UUID, *, deleted_at: int) -> None:
    """Remove the comments of a deleted post. Those with unacknowledged events become tombstones."""
    comments = connection.collection("comments")
    grave = {"_id": "$_id", "deleted_at": {"$literal": deleted_at}, "events": "$events"}
    of_post = comments_above(post_id, None)
    comments.update_many({**of_post, "events": {"$exists": True}}, [{"$replaceWith": grave}, *derived()])
    comments.delete_many({**of_post, "events": {"$exists": False}})


class _NotAllNew(Exception):
    """A comment exists already, or a post does not exist."""


def _key(post_id: UUID, number: int) -> Document:
    return {"post": post_id, "number": number}


def _counted(comments: Sequence[Comment]) -> tuple[int, list[UpdateMany]]:
    """The number of posts of these comments, and the updates of their counts. Posts with equal numbers of new comments
    share an update, since most have few.
    """
    numbers: dict[UUID, list[int]] = {}
    for comment in comments:
        numbers.setdefault(comment.post_id, []).append(comment.number)
    alike: dict[tuple[int, int], list[UUID]] = {}
    for post_id, of_post in numbers.items():
        alike.setdefault((len(of_post), max(of_post)), []).append(post_id)
    return len(numbers), [
        UpdateMany({"_id": {"$in": ids}, **LIVE}, {"$inc": {"comments": more}, "$max": {"comment_seq": highest}})
        for (more, highest), ids in alike.items()
    ]


def document_of(comment: Comment) -> Document:
    return {
        "_id": _key(comment.post_id, comment.number),
        "author_id": comment.author_id,
        "body": comment.body,
        "created_at": micros(comment.created_at),
    }


def comment_of(found: Document) -> Comment:
    return Comment(
        post_id=found["_id"]["post"],
        number=int(found["_id"]["number"]),
        author_id=found["author_id"],
        body=found["body"],
        created_at=moment(found["created_at"]),
    )
