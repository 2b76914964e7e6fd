"""Changes of a home timeline after a follow, an unfollow or a block: one author's posts are copied in or removed."""

from datetime import datetime
from uuid import UUID

from app.ids import MICROSECOND
from app.services.feeds.timeline_rebuild import TimelineRebuild
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.records.graph import Follow
from repositories.relational import RelationalStore


class BackFill:
    """For a new follow, at most `limit` posts are copied."""

    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        timeline_rebuild: TimelineRebuild,
        limit: int,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._timeline_rebuild = timeline_rebuild
        self._limit = limit

    def fill(self, follow: Follow, at: datetime) -> None:
        """Copy the newest posts into the follower's timeline, then mark the edge as filled: it is no longer pulled.

        Entries left by an earlier follow are removed first. A fan-out that read the followers before that follow ended
        may push after it, and the deletion of such a post may have missed this follower.

        If `limit` posts were copied, there may be more: the low watermark rises to the oldest copied post in the same
        transaction, and posts below it are pulled.
        """
        self.clear(follow.follower, follow.followee, follow.since - MICROSECOND)
        refs = self._documents.posts.by_authors([follow.followee], limit=self._limit)
        self._feeds.fill(follow.follower, refs, at)
        with self._relational.transaction() as tx:
            tx.graph.filled(follow)
            if len(refs) == self._limit:
                tx.feed_activity.raise_low_watermark(follow.follower, refs[-1].post_id)

    def clear(self, owner: UUID, author: UUID, at: datetime) -> None:
        """Remove the author's posts. If that exceeds the tombstone budget, the timeline is rebuilt instead."""
        if not self._feeds.purge(owner, author, at):
            self._timeline_rebuild.request_and_trim(owner)
