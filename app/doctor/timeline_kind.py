"""The protocol for checking one kind of timeline, and what home and author timelines have in common."""

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import Protocol
from uuid import UUID

from app.doctor.comparing import BLOCK, MOST, Difference, Look
from repositories.batched import batched
from repositories.documents import DocumentStore
from repositories.feeds.audit_port import StoredEntry
from repositories.records.content import PostRef

AT_ONCE = 1000


class Side(Protocol):
    name: str

    @abstractmethod
    def look(self, one: UUID, doubted: Look | None = None) -> Look:
        """Compare one account's timeline with the truth.

        The first look finds doubts. The second gets the first as `doubted`, keeps the doubts that still hold, and reads
        in an order in which work in progress cannot be mistaken for drift.
        """

    @abstractmethod
    def mend(self, one: UUID, look: Look) -> None:
        """Write what is missing, with the start of the look as timestamp, and remove what is wrong."""


def collected(
    differences: Iterable[Difference], doubted: Look | None
) -> tuple[dict[UUID, PostRef], list[StoredEntry], bool]:
    """Collect up to `MOST` missing posts and surplus entries, and whether these are all.

    With `doubted`, only those that the first look doubted.
    """
    missing: dict[UUID, PostRef] = {}
    surplus: list[StoredEntry] = []
    for difference in differences:
        missing |= {post.post_id: post for post in difference.missing if doubted is None or post in doubted}
        surplus += [kept for kept in difference.surplus if doubted is None or kept in doubted]
        if len(missing) + len(surplus) >= MOST:
            return missing, surplus, False
    return missing, surplus, True


def in_flight(documents: DocumentStore, doubted: Look | None) -> set[UUID]:
    """Which of the missing posts are in flight. Empty for a first look, which does not read this."""
    if doubted is None or not doubted.missing:
        return set()
    authors = {post.author_id for post in doubted.missing.values()}
    low, before = min(doubted.missing), UUID(int=max(doubted.missing).int + 1)
    found: set[UUID] = set()
    while before > low:
        page = documents.posts.in_flight(authors, before=before, limit=BLOCK)
        found.update(post.post_id for post in page)
        if len(page) < BLOCK:
            break
        before = page[-1].post_id
    return found


def buried(documents: DocumentStore, doubted: Look | None) -> set[UUID]:
    """Which posts of doubted entries are tombstones: their deletion is not dispatched yet. Empty for a first look."""
    if doubted is None or not (doubted.wrong or doubted.leftover):
        return set()
    return documents.posts.buried({post_id for _, post_id in [*doubted.wrong, *doubted.leftover]})


def authors_of(documents: DocumentStore, entries: Collection[StoredEntry]) -> dict[UUID, UUID]:
    """The author of each post of these entries that exists."""
    authors = dict[UUID, UUID]()
    for some in batched({entry.post_id for entry in entries}, AT_ONCE):
        authors |= documents.posts.authors(some)
    return authors
