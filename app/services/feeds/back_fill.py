"""What a follow, its end and a block do to a home timeline: posts of one author are copied in or removed."""

from datetime import datetime
from uuid import UUID

from app.ids import MICROSECOND
from app.services.feeds.feed_activity import FeedActivity
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.records import Follow
from repositories.relational import RelationalStore


class BackFill:
    """`limit` is the most posts that are copied for a new follow."""

    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        feed_activity: FeedActivity,
        limit: int,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._feed_activity = feed_activity
        self._limit = limit

    def fill(self, follow: Follow, at: datetime) -> None:
        """Copy the newest posts into the follower's timeline, then mark the edge: from now on it need not be pulled.

        What an earlier follow has left is removed first: a fan-out that found the follower before that follow ended may
        push afterwards, and a deletion that came in between did not find them.

        If there are more posts than are copied, the low watermark rises to the oldest copied one in the same
        transaction, and what is below it is pulled.
        """
        self.clear(follow.follower, follow.followee, follow.since - MICROSECOND)
        refs = self._documents.posts.by_authors([follow.followee], limit=self._limit)
        self._feeds.fill(follow.follower, refs, at)
        with self._relational.transaction() as tx:
            tx.graph.filled(follow)
            if len(refs) == self._limit:
                tx.feed_activity.raise_low_watermark(follow.follower, refs[-1].post_id)

    def clear(self, owner: UUID, author: UUID, at: datetime) -> None:
        """Remove the author's posts. Where that exceeds the budget of tombstones the timeline is rebuilt instead."""
        if not self._feeds.purge(owner, author, at):
            self._feed_activity.rebuild_and_trim(owner)
