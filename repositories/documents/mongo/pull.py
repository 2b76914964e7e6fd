"""The posts of many authors, by id. The cost depends on the number of authors, not on how many posts they have.

The first `limit` posts are by the `limit` authors whose own first posts come first. So one DISTINCT_SCAN, which reads
one key per author, selects at most `limit` authors, and a merge of their index ranges yields the posts. Only index
keys are read, never documents.

Measured with 10^6 posts, limit 21, near the top and far down, in both directions, for authors with many posts, few, a
single old one or none: 10 authors take 1 ms, 200 take 3 ms, 1,000 take 4 to 18 ms, 10,000 take 38 to 93 ms (15 ms of
which encode ids). Alternatives for 10,000: a merge of all authors in groups takes 72 to 124 ms; a scan of all posts in
id order takes 18 ms to 1.2 s, grows with the posts, and needs another index.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from repositories.batched import batched
from repositories.documents.mongo.client import Document
from repositories.documents.mongo.versioned_writes import Documents
from repositories.records.content import PostRef

MERGED = 200  # authors; above internalQueryMaxScansToExplode MongoDB would read and sort everything


class Source(NamedTuple):
    """A set of posts, and the index over it whose key has author_id before _id."""

    which: Document
    hint: str


ALL = Source({}, "author")
IN_FLIGHT = Source({"in_flight": True}, "in_flight")


class IdRange(NamedTuple):
    """A range of ids in the direction of paging."""

    before: UUID | None
    after: UUID | None
    limit: int
    upward: bool = False  # ascending even without `after`

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
    """The matching posts. `index` should cover the query, so that no documents are read."""
    found = posts.find(which | span.bounds, {"author_id": 1}, hint=index).sort("_id", span.direction).limit(span.limit)
    return [PostRef(one["_id"], one["author_id"]) for one in found]


def _foremost(posts: Documents, source: Source, authors: Sequence[UUID], span: IdRange) -> list[UUID]:
    """The `limit` authors whose first posts within the range come first."""
    stages: list[Document] = [
        {"$match": {**source.which, "author_id": {"$in": authors}, **span.bounds}},
        {"$sort": {"author_id": span.direction, "_id": span.direction}},
        {"$group": {"_id": "$author_id", "first": {"$first": "$_id"}}},
        {"$sort": {"first": span.direction}},
        {"$limit": span.limit},
    ]
    return [one["_id"] for one in posts.aggregate(stages, hint=source.hint)]
