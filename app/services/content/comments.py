"""Comments, numbered per post. A comment is refused if the post's author or the commenter has blocked the other."""

from uuid import UUID

from app.errors import Forbidden, Missing
from app.events import CommentAdded, CommentDeleted
from app.services.commands.idempotency import KEPT, ReservedId
from app.services.commands.kit import Kit
from app.services.content.posts import Posts
from app.services.pages.invalidation import Invalidation
from repositories.documents import DocumentStore
from repositories.errors import NotFound
from repositories.records.content import Comment
from repositories.records.events import Event
from repositories.relational import RelationalStore

CHUNK = 1000


class Comments:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        posts: Posts,
        invalidation: Invalidation,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._posts = posts
        self._invalidation = invalidation
        self._clock = kit.clock
        self._pack = kit.emitter

    def add(self, author: UUID, post_id: UUID, body: str, reserved: ReservedId | None = None) -> Comment:
        """Add a comment. Raises `Missing`, `Forbidden` with code `blocked`.

        A comment's id is its number, which the store assigns, so it cannot be reserved. A retry after a crash returns
        the author's newest comment with this body instead, if it was written within the retention of keys (`KEPT`).
        """
        if reserved and reserved.resumed and (known := self._find_written(author, post_id, body)):
            return known
        self._refuse_blocked(author, self._posts.author_of(post_id))
        now = self._clock()
        try:
            with self._invalidation.after(self._invalidation.post_stats([post_id])):
                return self._documents.comments.add(post_id, author, body, now, self._announce)
        except NotFound as gone:
            raise Missing("there is no such post") from gone

    def get(self, post_id: UUID, number: int) -> Comment:
        """Raises `Missing`."""
        comment = self._documents.comments.get(post_id, number)
        if comment is None:
            raise Missing("there is no such comment")
        return comment

    def delete(self, account_id: UUID, post_id: UUID, number: int) -> None:
        """Raises `Missing`, `Forbidden`."""
        comment = self.get(post_id, number)
        if comment.author_id != account_id:
            raise Forbidden("this comment is somebody else's")
        event = CommentDeleted(post_id, number, account_id, comment.created_at)
        try:
            with self._invalidation.after(self._invalidation.post_stats([post_id])):
                self._documents.comments.delete(post_id, number, self._pack(event))
        except NotFound as gone:
            raise Missing("there is no such comment") from gone

    def _find_written(self, author: UUID, post_id: UUID, body: str) -> Comment | None:
        comments, since = self._documents.comments, self._clock() - KEPT
        after: int | None = max(0, comments.counts([post_id])[post_id] - CHUNK) or None
        found: Comment | None = None
        while chunk := comments.page(post_id, after=after, limit=CHUNK):
            same = [c for c in chunk if (c.author_id, c.body) == (author, body) and c.created_at > since]
            found, after = same[-1] if same else found, chunk[-1].number
        return found

    def _refuse_blocked(self, one: UUID, other: UUID) -> None:
        relation = self._relational.graph.relations(one, [other])[other]
        if relation.gone:
            raise Missing("there is no such post")
        if relation.blocking or relation.blocked_by:
            raise Forbidden("one of you has blocked the other", code="blocked")

    def _announce(self, comment: Comment) -> Event:
        event = CommentAdded(comment.post_id, comment.number, comment.author_id, comment.created_at)
        return self._pack(event)
