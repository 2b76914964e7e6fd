"""Compares stored counters with the rows they count, in the store that holds both.

Each store compares at a single moment, so there is no second look.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from uuid import UUID

from app.doctor.findings import Report
from app.services.commands.retrying import Retry
from app.services.pages.invalidation import Invalidation
from repositories.documents import DocumentStore
from repositories.records.graph import GraphCounts
from repositories.relational import RelationalStore, Transaction

Miscounted = Mapping[UUID, tuple[Any, Any]]


class Counts:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        invalidation: Invalidation,
        retry: Retry,
        report: Report,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._invalidation = invalidation
        self._retry = retry
        self._report = report

    def accounts(self, ids: Collection[UUID], *, repair: bool) -> None:
        """Check the counts of followers and followees."""
        kind, reads = "account counters", self._relational.counters.miscounted_accounts
        wrong = reads(ids)
        self._report.add(kind, _lines("account", wrong))
        if wrong and repair:
            for one in wrong:
                self._recount(one, lambda tx, one: tx.counters.recount_account(one))
            self._invalidation.forget(self._invalidation.account_stats(wrong))
            self._report.unrepaired[kind] += len(reads(list(wrong)))

    def posts(self, ids: Collection[UUID], *, repair: bool) -> None:
        """Check the counts of likes and comments."""
        likes = self._relational.counters.miscounted_posts(ids)
        comments = self._comments(ids, repair=False)
        self._report.add("like counters", _lines("likes of post", likes))
        self._report.add("comment counters", _lines("comments of post", comments))
        if not repair or not (likes or comments):
            return
        for one in likes:
            self._recount(one, lambda tx, one: tx.counters.recount_post(one))
        if comments:
            self._comments(list(comments), repair=True)
        self._invalidation.forget(self._invalidation.post_stats({*likes, *comments}))
        self._report.unrepaired["like counters"] += len(self._relational.counters.miscounted_posts(list(likes)))
        self._report.unrepaired["comment counters"] += len(self._comments(list(comments), repair=False))

    def _comments(self, ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        return self._retry(lambda: self._documents.comments.recount(ids, repair=repair))

    def _recount(self, one: UUID, write: Callable[[Transaction, UUID], None]) -> None:
        def command() -> None:
            with self._relational.transaction() as tx:
                write(tx, one)

        self._retry(command)


def _lines(what: str, wrong: Miscounted) -> Iterator[str]:
    for one, (kept, true) in wrong.items():
        yield f"{what} {one}: {_shown(kept)} kept, {_shown(true)} counted"


def _shown(count: GraphCounts | int | None) -> str:
    if isinstance(count, GraphCounts):
        return f"{count.followers} followers and {count.following} followees"
    return "none" if count is None else str(count)
