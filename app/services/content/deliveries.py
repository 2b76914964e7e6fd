"""The progress of a post's fan-out, for its author."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from app.errors import Forbidden
from app.services.content.posts import Posts
from app.services.feeds import lag_histogram
from repositories.documents import DocumentStore
from repositories.records.content import Post
from repositories.records.feeds import Fanout
from repositories.relational import RelationalStore

DeliveryState = Literal["in_flight", "running", "delivered", "pulled"]
STATES: dict[str, DeliveryState] = {"running": "running", "done": "delivered", "pulled": "pulled"}


class Delivery(Struct, frozen=True):
    """The numbers are None for a post that was delivered long ago or was seeded: they are not stored.

    `pulled` is complete too: the `remaining` followers find the post in the author's timeline. Lags are in
    milliseconds, None before the first delivery.
    """

    post_id: UUID
    state: DeliveryState
    audience: int | None
    delivered: int | None
    remaining: int | None
    p50_ms: float | None
    p99_ms: float | None
    published_at: datetime
    finished_at: datetime | None
    trace_id: str | None


class Deliveries:
    def __init__(self, relational: RelationalStore, documents: DocumentStore, posts: Posts) -> None:
        self._relational = relational
        self._documents = documents
        self._posts = posts

    def of(self, caller: UUID, post_id: UUID) -> Delivery:
        """Raises `Missing`, and `Forbidden` for everybody but the author.

        Whether the post is in flight is read before its progress: if it is dispatched in between, progress is found.
        """
        post = self._posts.read(post_id)
        if post.author_id != caller:
            raise Forbidden("this post is somebody else's")
        is_in_flight = self._is_in_flight(post)
        fanout = self._relational.fanouts.progress(post_id)
        if fanout is not None and fanout.state in STATES:
            return _progress(post, fanout)
        if not is_in_flight:
            return _known(post, "delivered", None)
        return _known(post, "in_flight", self._relational.fanouts.audience_size(post.author_id))

    def _is_in_flight(self, post: Post) -> bool:
        above = UUID(int=post.id.int + 1)
        found = self._documents.posts.in_flight([post.author_id], before=above, limit=1)
        return any(one.post_id == post.id for one in found)


def _known(post: Post, state: DeliveryState, audience: int | None) -> Delivery:
    delivered = None if audience is None else 0
    return Delivery(post.id, state, audience, delivered, audience, None, None, post.created_at, None, None)


def _progress(post: Post, fanout: Fanout) -> Delivery:
    audience = max(fanout.audience, fanout.delivered)
    return Delivery(
        post_id=post.id,
        state=STATES[fanout.state],
        audience=audience,
        delivered=fanout.delivered,
        remaining=0 if fanout.state == "done" else audience - fanout.delivered,
        p50_ms=lag_histogram.percentile(fanout.lag_histogram, 0.5),
        p99_ms=lag_histogram.percentile(fanout.lag_histogram, 0.99),
        published_at=post.created_at,
        finished_at=fanout.finished_at,
        trace_id=fanout.trace or None,
    )
