"""`quartet rebuild feeds`: home and author timelines anew from the truth, while serving.

Home timelines are filled by the relay, as those of readers who return: until then their pages are pulled. Who waits
helps: the command serves the outboxes too, so that it ends where no relay runs. Author timelines are written here.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from msgspec import Struct

from app.container import Container
from repositories.records import PostRef

# Feeds that are being filled at a time: their readers are pulled meanwhile.
AT_ONCE = 100
PAGE = 1000
POLL = 0.05
PATIENCE = 60.0


class Rebuilt(Struct, frozen=True):
    """`late` feeds were still not filled after a time in which nothing moved."""

    feeds: int
    dormant: int
    posts: int
    late: int


class Rebuild:
    """`serve` dispatches some events and returns how many; `patience` is in seconds without progress."""

    def __init__(
        self, container: Container, serve: Callable[[], int], *, wait: bool, patience: float = PATIENCE
    ) -> None:
        self._container = container
        self._relational, self._documents = container.stores.relational, container.stores.documents
        self._audit = container.stores.feeds.audit
        self._serve = serve
        self._wait = wait
        self._patience = patience
        self._began = container.kit.clock()

    def everybody(self) -> Rebuilt:
        return self._run(self._accounts(), self._posts)

    def one(self, account: UUID) -> Rebuilt:
        return self._run([account], lambda after: self._posted(account, after))

    def _run(self, accounts: Iterable[UUID], posts: Callable[[UUID | None], list[PostRef]]) -> Rebuilt:
        restored, requested, dormant, late = self._restore(posts), 0, 0, 0
        waking: set[UUID] = set()
        for account in accounts:
            if self._relational.feed_activity.reader_state(account).state == "dormant":
                dormant += 1
                continue
            requested += self._container.feeds.feed_activity.rebuild(account)
            if self._wait:
                waking.add(account)
            if len(waking) >= AT_ONCE:
                late += self._filled(waking)
                waking.clear()
        return Rebuilt(requested, dormant, restored, late + self._filled(waking))

    def _restore(self, read: Callable[[UUID | None], list[PostRef]]) -> int:
        """Put posts on their authors' timelines, with the time this began: what is deleted meanwhile stays so."""
        count, after = 0, None
        while posts := read(after):
            self._audit.restore_author(posts, self._began)
            count, after = count + len(posts), posts[-1].post_id
        return count

    def _filled(self, waking: set[UUID]) -> int:
        """Returns how many of these feeds were not filled in time."""
        rest, deadline = set(waking), time.monotonic() + self._patience
        while rest and time.monotonic() < deadline:
            dispatched = self._serve()
            left = {one for one in rest if self._relational.feed_activity.reader_state(one).state == "waking"}
            if dispatched or len(left) < len(rest):
                deadline = time.monotonic() + self._patience
            elif left:
                time.sleep(POLL)
            rest = left
        return len(rest)

    def _accounts(self) -> Iterator[UUID]:
        after: UUID | None = None
        while page := self._relational.accounts.ids(after=after, limit=PAGE):
            yield from page
            after = page[-1]

    def _posts(self, after: UUID | None) -> list[PostRef]:
        return self._documents.posts.ids(after=after, limit=PAGE)

    def _posted(self, author: UUID, after: UUID | None) -> list[PostRef]:
        return self._documents.posts.by_authors([author], after=after or UUID(int=0), limit=PAGE)
