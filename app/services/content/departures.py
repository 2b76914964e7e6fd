"""Removal of a deleted account's content, follows and likes, in slices, as if the owner had undone each action.

Each removal emits the event of its kind, so that counts, caches, timelines and notifications follow. A slice removes
what it finds, so slices may be repeated, may run in several processes at once, and continue after a crash.
"""

import logging
from uuid import UUID

from app.events import CommentDeleted, PostDeleted, PostUnliked, ProductWithdrawn, Unfollowed
from app.services.commands.kit import Kit
from app.services.pages.invalidation import Invalidation
from repositories.documents import DocumentStore
from repositories.errors import StoreError
from repositories.records.content import Comment, Post
from repositories.records.events import Event
from repositories.records.graph import Forgotten, Like
from repositories.records.products import Product
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
SLICE = 200  # of each kind


class Departures:
    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, invalidation: Invalidation, kit: Kit
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._invalidation = invalidation
        self._retry = kit.retry
        self._pack = kit.emitter

    def begin(self, account_id: UUID) -> None:
        """Remove one slice before the request is answered; most accounts have no more. The event's handler goes on."""
        try:
            self.clean_up(account_id)
        except StoreError as error:
            log.warning("what a deleted account left is left to its event: %s", error)

    def follow_up(self, account_id: UUID) -> None:
        """Remove what was written after the clean-up of a deleted account. Does nothing if the account exists."""
        if not self._relational.accounts.get([account_id]):
            self.clean_up(account_id)

    def clean_up(self, account_id: UUID) -> bool:
        """Remove a slice of each kind. Returns whether there may be more."""
        stale, more = set[str](), False
        try:
            for remove in (self._posts, self._products, self._comments, self._edges, self._likes):
                keys, left = remove(account_id)
                stale |= keys
                more |= left
        finally:
            self._invalidation.drop_or_defer(stale)
        return more

    def _posts(self, account_id: UUID) -> tuple[set[str], bool]:
        gone = self._documents.posts.delete_of(account_id, self._post_deleted, limit=SLICE)
        return {key for p in gone for key in self._invalidation.post(p.id, account_id, p.tags)}, len(gone) == SLICE

    def _products(self, account_id: UUID) -> tuple[set[str], bool]:
        gone = self._documents.products.delete_of(account_id, self._product_withdrawn, limit=SLICE)
        return {key for p in gone for key in self._invalidation.product(p.id, [p.category])}, len(gone) == SLICE

    def _comments(self, account_id: UUID) -> tuple[set[str], bool]:
        gone = self._documents.comments.delete_of(account_id, self._comment_deleted, limit=SLICE)
        return set(self._invalidation.post_stats({comment.post_id for comment in gone})), len(gone) == SLICE

    def _edges(self, account_id: UUID) -> tuple[set[str], bool]:
        found = self._retry(lambda: self._forget_edges(account_id))
        return {key for f in found.follows for key in self._invalidation.follow(f.follower, f.followee)}, found.more

    def _likes(self, account_id: UUID) -> tuple[set[str], bool]:
        gone = self._retry(lambda: self._forget_likes(account_id))
        return set(self._invalidation.liked(account_id, [like.post_id for like in gone])), len(gone) == SLICE

    def _forget_edges(self, account_id: UUID) -> Forgotten:
        with self._relational.transaction() as tx:
            found = tx.graph.forget(account_id, limit=SLICE)
            tx.emit(*(self._pack(Unfollowed(f.follower, f.followee, f.since)) for f in found.follows))
        return found

    def _forget_likes(self, account_id: UUID) -> list[Like]:
        with self._relational.transaction() as tx:
            gone = tx.likes.forget(account_id, limit=SLICE)
            tx.emit(*(self._pack(PostUnliked(like.post_id, account_id, like.at)) for like in gone))
        return gone

    def _post_deleted(self, post: Post) -> Event:
        return self._pack(PostDeleted(post.id, post.author_id, post.tags))

    def _product_withdrawn(self, product: Product) -> Event:
        return self._pack(ProductWithdrawn(product.id, product.seller_id, (product.category,)))

    def _comment_deleted(self, comment: Comment) -> Event:
        return self._pack(CommentDeleted(comment.post_id, comment.number, comment.author_id, comment.created_at))
