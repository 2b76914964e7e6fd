"""What authors posted, by id, at a cost that follows from the number of authors and not from how much they posted.

The first `limit` posts are by those `limit` authors whose own first posts come first. So one DISTINCT_SCAN, which
reads one key per author, leaves at most `limit` authors; a merge of their ranges of the index gives the posts.
Only keys are read, never documents.

Measured with 10^6 posts, limit 21, at the top and deep down, in both directions, whether the authors posted much,
little, once long ago or never: 10 authors 1 ms, 200 3 ms, 1,000 4 to 18 ms, 10,000 38 to 93 ms (15 of them encode
ids). Against that for 10,000: a merge of all in groups 72 to 124 ms; a walk of all posts in id order 18 ms to 1.2 s,
growing with the posts, and only with an index of its own.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from repositories.batched import batched
from repositories.documents.mongo.client import Document
from repositories.documents.mongo.versioned_writes import Documents
from repositories.records import PostRef

MERGED = 200  # authors; of more than internalQueryMaxScansToExplode MongoDB reads and sorts everything


class Source(NamedTuple):
    """Posts, and the index over them that has author_id before _id."""

    which: Document
    hint: str


ALL = Source({}, "author")
IN_FLIGHT = Source({"in_flight": True}, "in_flight")


class IdRange(NamedTuple):
    """A range of ids in the direction of travel."""

    before: UUID | None
    after: UUID | None
    limit: int
    upward: bool = False  # also without `after`

    @property
    def direction(self) -> int:
        return 1 if self.upward or self.after is not None else -1

    @property
    def bounds(self) -> Document:
        beyond = {} if self.before is None else {"$lt": self.before}
        beyond |= {} if self.after is None else {"$gt": self.after}
        return {"_id": beyond} if beyond else {}


def pulled(posts: Documents, source: Source, authors: Collection[UUID], span: IdRange) -> list[PostRef]:
    chosen = list(authors)
    if len(chosen) > MERGED:
        chosen = _foremost(posts, source, chosen, span)
    found: list[PostRef] = []
    for some in batched(chosen, MERGED):
        by = {"author_id": {"$in": some}}
        found += references(posts, source.which | by, source.hint, span)
    return sorted(found, key=lambda ref: ref.post_id, reverse=span.direction < 0)[: span.limit]


def references(posts: Documents, which: Document, index: str, span: IdRange) -> list[PostRef]:
    """By an index from which the answer can be read without the documents, if there is one."""
    found = posts.find(which | span.bounds, {"author_id": 1}, hint=index).sort("_id", span.direction).limit(span.limit)
    return [PostRef(one["_id"], one["author_id"]) for one in found]


def _foremost(posts: Documents, source: Source, authors: Sequence[UUID], span: IdRange) -> list[UUID]:
    """Those of the authors whose first posts of the span come first."""
    stages: list[Document] = [
        {"$match": {**source.which, "author_id": {"$in": authors}, **span.bounds}},
        {"$sort": {"author_id": span.direction, "_id": span.direction}},
        {"$group": {"_id": "$author_id", "first": {"$first": "$_id"}}},
        {"$sort": {"first": span.direction}},
        {"$limit": span.limit},
    ]
    return [one["_id"] for one in posts.aggregate(stages, hint=source.hint)]
