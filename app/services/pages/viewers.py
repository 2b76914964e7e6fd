"""Adds the viewer's own part (what they like and follow) to a page that is otherwise the same for everybody."""

from collections.abc import Collection, Mapping
from uuid import UUID

from msgspec import Struct

from app.services.pages.fragments import member
from app.services.pages.marks import Kept, Marks, keys_of, relation_keys
from app.services.pages.whole_pages import Cut, WholePage, tag_of
from repositories.records.graph import Relation
from repositories.relational import RelationalStore


class PostViewer(Struct, frozen=True):
    liked: bool
    following_author: bool


class AccountViewer(Struct, frozen=True):
    following: bool
    follows_you: bool
    blocking: bool


class Viewers:
    """Looks up the viewer's part. Each method takes one round trip, or none if there is nothing to look up."""

    def __init__(self, relational: RelationalStore, marks: Marks | None) -> None:
        """`marks`, if given, are asked before the truth."""
        self._relational = relational
        self._marks = marks

    def keys_of_posts(self, viewer: UUID, post: UUID | None) -> list[str]:
        """The keys to read along with the page of a post, or of a list of posts not known yet, for `personal`."""
        if self._marks is None or (post and not self._marks.may_say(post)):
            return []
        return keys_of(viewer)

    def keys_of_account(self, viewer: UUID, account: UUID) -> list[str]:
        """The keys to read along with the page of an account, for `personal`."""
        return [] if self._marks is None or viewer == account else relation_keys(viewer, account)

    def of_posts(
        self, viewer: UUID | None, authors: Mapping[UUID, UUID], kept: Kept | None = None
    ) -> dict[UUID, PostViewer]:
        """The viewer's part of each post. `authors` maps each post to its author."""
        if viewer is None or not authors:
            return {}
        posts, people = list(authors), set(authors.values())
        marked = self._marks.among(viewer, posts, people, kept) if self._marks else None
        liked, followed = marked or self._relational.likes.beside_follows(viewer, posts, people)
        return {post: PostViewer(post in liked, author in followed) for post, author in authors.items()}

    def of_accounts(self, viewer: UUID | None, ids: Collection[UUID]) -> dict[UUID, AccountViewer]:
        if viewer is None or not ids:
            return {}
        relations = self._relational.graph.relations(viewer, ids)
        return {i: _account_viewer(relation) for i, relation in relations.items()}

    def of_profile(self, viewer: UUID, account: UUID, kept: Kept | None) -> dict[UUID, AccountViewer]:
        """`of_accounts` of one account, by marks if possible. For lists of accounts, marks would seldom be reused."""
        marked = self._marks.relation(viewer, account, kept) if self._marks else None
        return {account: _account_viewer(marked)} if marked else self.of_accounts(viewer, [account])

    def personal(self, page: WholePage, viewer: UUID, kept: Kept | None = None) -> WholePage:
        """The page as this viewer sees it. `kept` are the values of the keys, if they were read."""
        if not page.cuts:
            return page
        authors = {cut.about: cut.author for cut in page.cuts if cut.author is not None}
        views: Mapping[UUID, Struct] = (
            self.of_posts(viewer, authors, kept) if authors else self.of_profile(viewer, page.cuts[0].about, kept)
        )
        body = _with_members(page.body, page.cuts, views)
        return WholePage(body, tag_of(body, page.version or None), page.version)


def _account_viewer(relation: Relation) -> AccountViewer:
    return AccountViewer(relation.following, relation.follows_you, relation.blocking)


def _with_members(body: bytes, cuts: Collection[Cut], views: Mapping[UUID, Struct]) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for cut in cuts:
        pieces += (body[at : cut.at], member("viewer", views[cut.about]))
        at = cut.at
    return b"".join([*pieces, body[at:]])
