"""Live events for who listens: what comes into feeds and goes out of them, and what people are notified of.

Only listeners have a stream, so announcing to a chunk of followers costs one round trip. Of an author who is pulled
nobody walks the followers: there the listeners are asked which of them follow.
"""

from collections.abc import Collection
from uuid import UUID

import msgspec

from repositories.hot import LiveEvent, Streams
from repositories.records import PostRef
from repositories.relational import Relational

LISTENERS_AT_ONCE = 1000


class Announcer:
    """Every method may be repeated: a stream keeps an event once. Raises `Unavailable`.

    Whoever keeps that something is done tells of it here first, or a crash between the two loses the event.
    """

    def __init__(self, streams: Streams, relational: Relational) -> None:
        self._streams = streams
        self._relational = relational

    def delivered(self, post: PostRef, owners: Collection[UUID]) -> None:
        """The post is in these feeds now."""
        self._append(owners, _event("post", post))

    def retracted(self, post: PostRef, owners: Collection[UUID]) -> None:
        self._append(owners, _event("gone", post))

    def left(self, post: PostRef) -> None:
        """The post is in every follower's feed, since it is pulled."""
        event, after = _event("post", post), None
        while listeners := self._streams.listeners(after=after, limit=LISTENERS_AT_ONCE):
            standing = self._relational.graph.relations(post.author_id, listeners)
            self._append([who for who, relation in standing.items() if relation.follows_you], event)
            after = listeners[-1]

    def notified(self, owner: UUID, activity_id: UUID, kind: str) -> None:
        data = msgspec.json.encode({"kind": kind})
        self._append([owner], LiveEvent(f"notification:{activity_id}", "notification", data))

    def _append(self, owners: Collection[UUID], event: LiveEvent) -> None:
        if owners:
            self._streams.append(owners, event)


def _event(name: str, post: PostRef) -> LiveEvent:
    data = {"post_id": post.post_id, "author_id": post.author_id}
    return LiveEvent(f"{name}:{post.post_id}", name, msgspec.json.encode(data))
