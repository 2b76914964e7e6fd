"""Which posts of a page its reader likes."""

from collections.abc import Collection
from uuid import UUID

from repositories.relational import RelationalStore


class Likes:
    """Looks each post up once: together with follows if those are looked up too, or else alone."""

    def __init__(self, relational: RelationalStore, reader: UUID) -> None:
        self._relational = relational
        self._reader = reader
        self._known: dict[UUID, bool] = {}

    def beside(self, posts: Collection[UUID], others: Collection[UUID]) -> set[UUID]:
        """The accounts among `others` that the reader follows. Looks up `posts` in the same round trip."""
        if not posts and not others:
            return set()
        liked, followed = self._relational.likes.beside_follows(self._reader, posts, others)
        self._note(posts, liked)
        return followed

    def among(self, posts: Collection[UUID]) -> set[UUID]:
        unknown = [post for post in posts if post not in self._known]
        if unknown:
            self._note(unknown, self._relational.likes.liked(self._reader, unknown))
        return {post for post in posts if self._known[post]}

    def _note(self, posts: Collection[UUID], liked: Collection[UUID]) -> None:
        self._known |= {post: post in liked for post in posts}
