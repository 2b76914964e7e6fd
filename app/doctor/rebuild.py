"""`quartet rebuild feeds`: rebuilds home and author timelines from the truth, while serving.

The relay fills home timelines as it does for returning readers, and until then their pages are pulled. With `--wait`
the command serves the outboxes too, so that it also ends where no relay runs. It writes author timelines itself.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from msgspec import Struct

from app.container import Container
from repositories.records.content import PostRef

# The number of feeds that are filled at a time. Meanwhile the pages of their readers are pulled.
AT_ONCE = 100
PAGE = 1000
POLL = 0.05
PATIENCE = 60.0


class Rebuilt(Struct, frozen=True):
    """Numbers of feeds requested, dormant readers skipped and posts restored.

    `late` feeds were not filled when there had been no progress for the patience of the rebuild.
    """

    feeds: int
    dormant: int
    posts: int
    late: int


class Rebuild:
    """`serve` dispatches some events and returns how many. Waiting ends after `patience` seconds without progress."""

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
            requested += self._container.feeds.timeline_rebuild.request(account)
            if self._wait:
                waking.add(account)
            if len(waking) >= AT_ONCE:
                late += self._filled(waking)
                waking.clear()
        return Rebuilt(requested, dormant, restored, late + self._filled(waking))

    def _restore(self, read: Callable[[UUID | None], list[PostRef]]) -> int:
        """Write posts to their authors' timelines, with the start time of the rebuild as timestamp.

        So a post that is deleted meanwhile stays deleted.
        """
        count, after = 0, None
        while posts := read(after):
            self._audit.restore_author(posts, self._began)
            count, after = count + len(posts), posts[-1].post_id
        return count

    def _filled(self, waking: set[UUID]) -> int:
        """Wait for these feeds to be filled. Returns how many were not filled in time."""
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
