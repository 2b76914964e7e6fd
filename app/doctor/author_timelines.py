"""Compares author timelines, which have no retention limit, with the authors' posts."""

from uuid import UUID

from app.clock import Clock
from app.doctor.comparing import ALTERED, BLOCK, GONE, MISPLACED, Look, Wrong, differences
from app.doctor.timeline_kind import Side, authors_of, buried, collected, in_flight
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.feeds.audit_port import StoredEntry

LOWEST = UUID(int=0)


class Authors(Side):
    name = "author timeline"

    def __init__(self, documents: DocumentStore, feeds: FeedStore, clock: Clock) -> None:
        self._documents = documents
        self._feeds = feeds
        self._clock = clock

    def look(self, one: UUID, doubted: Look | None = None) -> Look:
        began = self._clock()
        flying, dying = in_flight(self._documents, doubted), buried(self._documents, doubted)
        found = differences(
            self._feeds.audit.author(one),
            lambda before: self._documents.posts.by_authors([one], before=before, limit=BLOCK),
            LOWEST,
        )
        missing, surplus, complete = collected(found, doubted)
        missing = {post_id: post for post_id, post in missing.items() if post_id not in flying}
        wrong = {
            (w.kept.bucket, w.kept.post_id): w for w in self._wrong_among(one, surplus) if w.kept.post_id not in dying
        }
        return Look(began, missing, wrong, complete=complete)

    def mend(self, one: UUID, look: Look) -> None:  # noqa: ARG002 - the entries name their timeline
        self._feeds.audit.remove_author([w.kept for w in look.wrong.values()], look.began)
        self._feeds.audit.restore_author(list(look.missing.values()), look.began)

    def _wrong_among(self, author: UUID, surplus: list[StoredEntry]) -> list[Wrong]:
        """Return the surplus entries that are wrong. An entry written between the two reads is surplus but correct."""
        truth = authors_of(self._documents, surplus)
        found = []
        for kept in surplus:
            if kept.post_id not in truth:
                found.append(Wrong(kept, GONE))
            elif truth[kept.post_id] != author:
                found.append(Wrong(kept, ALTERED))
            elif not kept.in_place:
                found.append(Wrong(kept, MISPLACED))
        return found
