"""Posts: publish, edit, delete, like.

Publishing writes the document with its event in one atomic write, then the author's timeline. After a crash between
the two, the event's handler writes the timeline. Until then the post is in flight, and readers find it in the
documents. Likes are relational. A blocked account may not like; the lock on the pair enforces that.
"""

import logging
from collections.abc import Collection
from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Forbidden, Missing, PreconditionFailed, Unprocessable
from app.events import PostDeleted, PostEdited, PostLiked, PostPublished, PostUnliked
from app.services.commands.idempotency import ReservedId
from app.services.commands.kit import Kit
from app.services.commands.precondition import Precondition
from app.services.pages.invalidation import Invalidation
from app.services.people.graph import refuse_blocked
from repositories.documents import DocumentStore
from repositories.errors import Conflict, Stale, Unavailable
from repositories.feeds import FeedStore
from repositories.records.content import Post, PostRef
from repositories.records.events import Event
from repositories.records.graph import Like
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)


class PostDraft(Struct, frozen=True):
    title: str
    body: str
    tags: tuple[str, ...] = ()
    product_ids: tuple[UUID, ...] = ()


class PostChanges(TypedDict, total=False):
    title: str
    body: str
    tags: tuple[str, ...]
    product_ids: tuple[UUID, ...]


class Posts:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        invalidation: Invalidation,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._invalidation = invalidation
        self._clock = kit.clock
        self._ids = kit.ids
        self._retry = kit.retry
        self._pack = kit.emitter

    def publish(self, author: UUID, draft: PostDraft, reserved: ReservedId | None = None) -> Post:
        """Publish a post, or return the one stored under the `reserved` id.

        Raises `Unprocessable` if a product does not exist.

        The count of published posts tells feeds to look for posts in flight, so it is raised after the post is stored
        and before the request is answered.
        """
        post = self._stored(author, draft, reserved)
        self._retry(lambda: self._count(author))
        return post

    def _count(self, author: UUID) -> None:
        with self._relational.transaction() as tx:
            tx.fanouts.count_published(author)

    def read(self, post_id: UUID) -> Post:
        """From the store, for business rules. Raises `Missing`. Views read `Cards`."""
        found = self._documents.posts.get([post_id]).get(post_id)
        if found is None:
            raise Missing("there is no such post")
        return found

    def author_of(self, post_id: UUID) -> UUID:
        """Raises `Missing`."""
        found = self._documents.posts.authors([post_id]).get(post_id)
        if found is None:
            raise Missing("there is no such post")
        return found

    def edit(self, author: UUID, post_id: UUID, changes: PostChanges, condition: Precondition) -> Post:
        """Raises `Missing`, `Forbidden`, `PreconditionRequired`, `PreconditionFailed`, `Unprocessable`."""
        current = self._own(author, post_id, condition)
        if not changes:
            return current
        self._check_products(changes.get("product_ids", ()))
        edited = replace(current, **changes, updated_at=self._clock(), version=current.version + 1)
        tags = tuple(sorted(set(current.tags) ^ set(edited.tags)))
        event = self._pack(PostEdited(post_id, author, tags))
        try:
            with self._invalidation.after(self._invalidation.edited_post(post_id, author, tags)):
                self._documents.posts.replace(edited, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the post has changed meanwhile") from stale
        return edited

    def delete(self, author: UUID, post_id: UUID, condition: Precondition) -> None:
        """Delete the post: from the next request on, no page shows it. The event's handlers remove it from timelines.

        Raises what `edit` does, except `Unprocessable`.
        """
        current = self._own(author, post_id, condition)
        event = self._pack(PostDeleted(post_id, author, current.tags))
        try:
            with self._invalidation.after(self._invalidation.post(post_id, author, current.tags)):
                self._documents.posts.delete(post_id, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the post has changed meanwhile") from stale

    def clean_up(self, post_id: UUID) -> None:
        """Remove the likes and view counts of a deleted post. Idempotent."""
        with self._relational.transaction() as tx:
            tx.likes.forget_post(post_id)
        self._documents.views.forget(post_id)

    def like(self, account_id: UUID, post_id: UUID) -> None:
        """Idempotent. Raises `Missing`, `Forbidden` with code `blocked`."""
        author = self.author_of(post_id)
        with self._invalidation.after(self._invalidation.liked(account_id, [post_id])):
            self._retry(lambda: self._like(account_id, post_id, author))

    def unlike(self, account_id: UUID, post_id: UUID) -> None:
        """Idempotent. Raises `Missing`."""
        self.author_of(post_id)
        with self._invalidation.after(self._invalidation.liked(account_id, [post_id])):
            self._retry(lambda: self._unlike(account_id, post_id))

    def _like(self, account_id: UUID, post_id: UUID, author: UUID) -> None:
        with self._relational.transaction() as tx:
            if account_id != author:
                refuse_blocked(tx, account_id, author)
            now = self._clock()
            if tx.likes.like(Like(account_id, post_id, now)):
                tx.emit(self._pack(PostLiked(post_id, account_id, now)))

    def _unlike(self, account_id: UUID, post_id: UUID) -> None:
        with self._relational.transaction() as tx:
            since = tx.likes.unlike(account_id, post_id)
            if since:
                tx.emit(self._pack(PostUnliked(post_id, account_id, since)))

    def _own(self, author: UUID, post_id: UUID, condition: Precondition) -> Post:
        post = self.read(post_id)
        if post.author_id != author:
            raise Forbidden("this post is somebody else's")
        condition.check(post.version)
        return post

    def _check_products(self, ids: Collection[UUID]) -> None:
        known = self._documents.products.get(ids) if ids else {}
        wrong = {f"/product_ids/{n}": "there is no such product" for n, i in enumerate(ids) if i not in known}
        if wrong:
            raise Unprocessable("a product does not exist", wrong)

    def _stored(self, author: UUID, draft: PostDraft, reserved: ReservedId | None) -> Post:
        if reserved and reserved.resumed and (known := self._documents.posts.get([reserved.id]).get(reserved.id)):
            # The process that stored the post may have crashed before the invalidation.
            self._invalidation.forget(self._invalidation.published(known.id, author, known.tags))
            return known
        self._check_products(draft.product_ids)
        now = self._clock()
        post = Post(
            reserved.id if reserved else self._ids(),
            author,
            draft.title,
            draft.body,
            draft.tags,
            draft.product_ids,
            now,
            now,
            version=1,
        )
        event = self._pack(PostPublished(post.id, author, draft.tags))
        try:
            with self._invalidation.after(self._invalidation.published(post.id, author, draft.tags)):
                self._documents.posts.add(post, event)
        except Conflict:
            return self.read(post.id)
        self._add_to_timeline(post, event)
        return post

    def _add_to_timeline(self, post: Post, event: Event) -> None:
        try:
            self._feeds.add_to_author(PostRef(post.id, post.author_id), event.happened_at)
        except Unavailable as error:
            log.warning("author timeline left to the relay: %s", error)
