"""`quartet doctor drift`: compares feeds, counters and offers with the truth, while serving.

The first look at a timeline finds doubts. A second look reads the stores in an order in which neither live traffic nor
a late relay can cause a false finding. Confirmed differences are repaired and looked at once more.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from app.container import Container
from app.doctor.author_timelines import Authors
from app.doctor.comparing import MOST, Look
from app.doctor.counts import Counts
from app.doctor.findings import LEFTOVER, Report
from app.doctor.home_timelines import Homes
from app.doctor.offers import KnownOffers
from app.doctor.timeline_kind import Side

BATCH = 100
Doubt = tuple[Side, UUID, Look]


class Drift:
    def __init__(self, container: Container, write_line: Callable[[str], None], *, repair: bool) -> None:
        stores = container.stores
        self._relational, self._documents = stores.relational, stores.documents
        retention = timedelta(days=container.settings.feeds_retention_days)
        self._sides: tuple[Side, ...] = (
            Homes(
                stores.relational,
                stores.documents,
                stores.feeds,
                container.feeds.timeline_rebuild,
                container.kit.clock,
                retention,
            ),
            Authors(stores.documents, stores.feeds, container.kit.clock),
        )
        self.report = Report(write_line, repair=repair)
        self._counts = Counts(
            stores.relational, stores.documents, container.pages.invalidation, container.kit.retry, self.report
        )
        self._offers = KnownOffers(stores.relational, stores.documents, container.kit.retry, self.report)
        self._repair = repair

    def everybody(self) -> Report:
        """Check all accounts, posts and offers, in batches."""
        for batch in self._pages(lambda after: self._relational.accounts.ids(after=after, limit=BATCH)):
            self._accounts(batch)
        for batch in self._pages(lambda after: [p.post_id for p in self._documents.posts.ids(after=after, limit=1000)]):
            self._posts(batch)
        for batch in self._pages(lambda after: list(self._relational.offers.page(after=after, limit=1000))):
            self._offers.check(batch, repair=self._repair)
        return self.report

    def one(self, account: UUID) -> Report:
        """Check one account's timelines and counts, and the counts of its posts."""
        self._accounts([account])
        for batch in self._pages(lambda after: self._post_ids_of(account, after)):
            self._posts(batch)
        return self.report

    def _accounts(self, ids: Sequence[UUID]) -> None:
        self.report.accounts += len(ids)
        self._counts.accounts(ids, repair=self._repair)
        todo = [(side, one) for one in ids for side in self._sides]
        while todo:
            doubts, size = list[Doubt](), 0
            while todo and size < MOST:
                side, one = todo.pop()
                look = side.look(one)
                if look:
                    doubts.append((side, one, look))
                    size += len(look)
            todo += self._confirm(doubts)

    def _posts(self, ids: Sequence[UUID]) -> None:
        self.report.posts += len(ids)
        self._counts.posts(ids, repair=self._repair)

    def _post_ids_of(self, author: UUID, after: UUID | None) -> list[UUID]:
        bound = after or UUID(int=0)
        return [post.post_id for post in self._documents.posts.by_authors([author], after=bound, limit=1000)]

    def _pages(self, read: Callable[[UUID | None], list[UUID]]) -> Iterator[list[UUID]]:
        after: UUID | None = None
        while page := read(after):
            yield page
            after = page[-1]

    def _confirm(self, doubts: Sequence[Doubt]) -> list[tuple[Side, UUID]]:
        """Take the second look, and repair. Returns the timelines to start over with.

        These are the ones where a third look finds less than the second: one look may not have covered all differences.
        """
        again = []
        for side, one, doubted in doubts:
            look = side.look(one, doubted)
            self._write_line(side, one, look)
            if look and self._repair:
                side.mend(one, look)
                rest = side.look(one, look)
                self._note(side, rest)
                if len(rest) < len(look):
                    again.append((side, one))
        return again

    def _write_line(self, side: Side, one: UUID, look: Look) -> None:
        about = f"{side.name} of {one}"
        self.report.add(
            f"{side.name}s: missing entries",
            (f"{about}: post {post.post_id} by {post.author_id} is missing" for post in look.missing.values()),
        )
        self.report.add(
            f"{side.name}s: wrong entries",
            (f"{about}: entry {w.kept.post_id} is wrong: {w.reason}" for w in look.wrong.values()),
        )
        self.report.add(
            LEFTOVER,
            (f"{about}: entry {k.post_id} by {k.author_id} is left over" for k in look.leftover.values()),
        )

    def _note(self, side: Side, rest: Look) -> None:
        self.report.unrepaired[f"{side.name}s: missing entries"] += len(rest.missing)
        self.report.unrepaired[f"{side.name}s: wrong entries"] += len(rest.wrong)
        self.report.unrepaired[LEFTOVER] += len(rest.leftover)
