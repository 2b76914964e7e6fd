"""Live events for those who listen: what comes into feeds and leaves them, and notifications.

Only listeners have a stream, so announcing to a chunk of followers costs one round trip. For an author who is pulled
nobody walks the followers: the listeners are read, and the graph says which of them follow.

While the streams' store is away, announcements are deferred. They are made when it is back, each to the author and to
those listeners who follow by then.
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
from repositories.records import PostRef
from repositories.relational import RelationalStore
from repositories.relational.deferred_port import Deferred

LISTENERS_AT_ONCE = 1000
AWAY_SECONDS = 1.0
# Begins the keys of deferred work that is an announcement.
LIVE = b"live:"


class Announcement(Struct, frozen=True):
    """An event that waits: for `owner`, or for `author` and who follows."""

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

    Whoever stores that a step is done announces it first, or a crash between the two loses the event.
    """

    def __init__(self, streams: Streams, relational: RelationalStore, clock: Clock) -> None:
        self._streams = streams
        self._relational = relational
        self._clock = clock
        self._away_until = 0.0

    def delivered(self, post: PostRef, owners: Collection[UUID]) -> None:
        """The post is in these feeds now."""
        self._announce(_of_post("post", post), lambda event: self._append(owners, event))

    def retracted(self, post: PostRef, owners: Collection[UUID]) -> None:
        self._announce(_of_post("gone", post), lambda event: self._append(owners, event))

    def left(self, post: PostRef) -> None:
        """The post is in every follower's feed, since it is pulled."""
        self._announce(_of_post("post", post), lambda event: self._to_followers(post.author_id, event))

    def notified(self, owner: UUID, activity_id: UUID, kind: str) -> None:
        data = msgspec.json.encode({"kind": kind})
        waiting = Announcement(f"notification:{activity_id}", "notification", data, owner=owner)
        self._announce(waiting, lambda event: self._append([owner], event))

    def announce_deferred(self, work: Deferred) -> None:
        """Raises `Unavailable`. Too late, when every stream of that time has ended or its reader got a resync."""
        waiting = msgspec.json.decode(work.body, type=Announcement)
        if self._clock() - work.at > LISTENING + timedelta(minutes=1):
            return
        if waiting.owner is not None:
            self._append([waiting.owner], waiting.event)
        if waiting.author is not None:
            self._append([waiting.author], waiting.event)
            self._to_followers(waiting.author, waiting.event)

    def _announce(self, waiting: Announcement, act: Callable[[LiveEvent], None]) -> None:
        """A store that did not answer is asked again after `AWAY_SECONDS`."""
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


def _of_post(name: str, post: PostRef) -> Announcement:
    traced = {"traceparent": spans.traceparent()} if spans.trace_id() else {}
    data = msgspec.json.encode({"post_id": post.post_id, "author_id": post.author_id, **traced})
    return Announcement(f"{name}:{post.post_id}", name, data, author=post.author_id)
