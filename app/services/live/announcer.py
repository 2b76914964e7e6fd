"""Announces live events to listening accounts: posts that enter and leave feeds, and notifications.

Only listeners have a stream, so announcing to a chunk of followers costs one round trip. The followers of a pulled
author are not walked: the listeners are read, and the graph tells which of them follow.

While the store of streams is unavailable, announcements are deferred. Once it is back, each is made to the author and
to the listeners who follow at that time.
"""

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from app.clock import Clock
from app.telemetry import spans
from repositories.errors import Unavailable
from repositories.hot import LiveEvent, Streams
from repositories.hot.streams_port import LISTENING
from repositories.records.content import PostRef
from repositories.relational import RelationalStore
from repositories.relational.deferred_port import Deferred

LISTENERS_AT_ONCE = 1000
AWAY_SECONDS = 1.0
# Prefix of the keys of deferred work that are announcements.
LIVE = b"live:"


class Announcement(Struct, frozen=True):
    """An event that may be deferred: for `owner`, or for `author` and the author's followers."""

    key: str
    name: str
    data: bytes
    owner: UUID | None = None
    author: UUID | None = None

    @property
    def event(self) -> LiveEvent:
        return LiveEvent(self.key, self.name, self.data)


class Announcer:
    """Every method may be repeated: a stream keeps an event once.

    A caller that records a step as done must announce it first, or a crash between the two loses the event.
    """

    def __init__(self, streams: Streams, relational: RelationalStore, clock: Clock) -> None:
        self._streams = streams
        self._relational = relational
        self._clock = clock
        self._away_until = 0.0

    def delivered(self, post: PostRef, owners: Collection[UUID]) -> None:
        """Announce that the post is in these feeds."""
        self._announce(_post_announcement("post", post), lambda event: self._append(owners, event))

    def retracted(self, post: PostRef, owners: Collection[UUID]) -> None:
        self._announce(_post_announcement("gone", post), lambda event: self._append(owners, event))

    def left(self, post: PostRef) -> None:
        """Announce that the post, which is pulled, is in every follower's feed."""
        self._announce(_post_announcement("post", post), lambda event: self._to_followers(post.author_id, event))

    def notified(self, owner: UUID, activity_id: UUID, kind: str) -> None:
        data = msgspec.json.encode({"kind": kind})
        waiting = Announcement(f"notification:{activity_id}", "notification", data, owner=owner)
        self._announce(waiting, lambda event: self._append([owner], event))

    def announce_deferred(self, work: Deferred) -> None:
        """Announce deferred work, unless it is so old that each stream of its time has ended or had a resync.

        Raises `Unavailable`.
        """
        waiting = msgspec.json.decode(work.body, type=Announcement)
        if self._clock() - work.at > LISTENING + timedelta(minutes=1):
            return
        if waiting.owner is not None:
            self._append([waiting.owner], waiting.event)
        if waiting.author is not None:
            self._append([waiting.author], waiting.event)
            self._to_followers(waiting.author, waiting.event)

    def _announce(self, waiting: Announcement, act: Callable[[LiveEvent], None]) -> None:
        """Announce, or defer it. After a failure the store is not asked for `AWAY_SECONDS`."""
        if time.monotonic() >= self._away_until:
            try:
                return act(waiting.event)
            except Unavailable:
                self._away_until = time.monotonic() + AWAY_SECONDS
        with self._relational.transaction() as tx:
            tx.deferred.put({LIVE + waiting.key.encode(): msgspec.json.encode(waiting)}, at=self._clock())
        return None

    def _to_followers(self, author: UUID, event: LiveEvent) -> None:
        after = None
        while listeners := self._streams.listeners(after=after, limit=LISTENERS_AT_ONCE):
            relations = self._relational.graph.relations(author, listeners)
            self._append([who for who, relation in relations.items() if relation.follows_you], event)
            after = listeners[-1]

    def _append(self, owners: Collection[UUID], event: LiveEvent) -> None:
        if owners:
            self._streams.append(owners, event)


def _post_announcement(name: str, post: PostRef) -> Announcement:
    traced = {"traceparent": spans.traceparent()} if spans.trace_id() else {}
    data = msgspec.json.encode({"post_id": post.post_id, "author_id": post.author_id, **traced})
    return Announcement(f"{name}:{post.post_id}", name, data, author=post.author_id)
