"""Compares a stored timeline with the truth segment by segment, so that only one segment of each is in memory."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from msgspec import Struct

from repositories.feeds.audit_port import StoredEntry
from repositories.records.content import PostRef

BLOCK = 1000
# The number of doubts about one timeline that are followed up at a time.
MOST = 5000

GONE = "its post does not exist"
ALTERED = "its post is by another author"
MISPLACED = "it is stored where pages do not look for it"

Truth = Callable[[UUID | None], list[PostRef]]
Key = tuple[int, UUID]


class Wrong(Struct, frozen=True):
    """An entry that should not be there, and why. If only its author is wrong, `instead` is the correct entry."""

    kept: StoredEntry
    reason: str
    instead: PostRef | None = None


class Look(Struct, frozen=True):
    """The doubts that one look at a timeline found, unconfirmed in a first look and confirmed in a second.

    The look began at `began`. `leftover` are entries that are not cleaned up yet and that the port allows. If not
    `complete`, the look stopped after `MOST` doubts.
    """

    began: datetime
    missing: dict[UUID, PostRef] = {}
    wrong: dict[Key, Wrong] = {}
    leftover: dict[Key, StoredEntry] = {}
    complete: bool = True

    def __len__(self) -> int:
        return len(self.missing) + len(self.wrong) + len(self.leftover)

    def __contains__(self, one: PostRef | StoredEntry) -> bool:
        """Whether this look doubts a post that is missing (`PostRef`) or an entry (`StoredEntry`)."""
        if isinstance(one, PostRef):
            return one.post_id in self.missing or any(w.instead == one for w in self.wrong.values())
        return bool({(one.bucket, one.post_id)} & (self.wrong.keys() | self.leftover.keys()))


class Difference(Struct, frozen=True):
    missing: list[PostRef]
    surplus: list[StoredEntry]


def differences(kept: Iterable[StoredEntry], truth: Truth, low: UUID) -> Iterator[Difference]:
    """Yield the differences down to `low`, inclusive. The entries of a segment are read before its posts.

    `truth` returns the newest `BLOCK` posts below a bound. If an entry has another author than its post, the entry is
    surplus and the post is missing.
    """
    entries, before, done = iter(kept), None, False
    while not done:
        block = list(islice(entries, BLOCK))
        placed = {k.post_id: k for k in block if k.in_place}
        done = len(block) < BLOCK or any(i < low for i in placed)
        end = low if done else min(placed, default=None)
        surplus = {(k.bucket, k.post_id): k for k in block if k.post_id >= low or not k.in_place}
        if end is not None:
            for page in _pages_down_to(truth, before, end):
                yield Difference([post for post in page if not _matched(post, placed, surplus)], [])
            before = end
        yield Difference([], list(surplus.values()))


def _pages_down_to(truth: Truth, before: UUID | None, end: UUID) -> Iterator[list[PostRef]]:
    while before is None or before > end:
        page = truth(before)
        yield [post for post in page if post.post_id >= end]
        if len(page) < BLOCK:
            return
        before = page[-1].post_id


def _matched(post: PostRef, placed: dict[UUID, StoredEntry], surplus: dict[Key, StoredEntry]) -> bool:
    found = placed.get(post.post_id)
    if found is None or found.author_id != post.author_id:
        return False
    surplus.pop((found.bucket, found.post_id), None)
    return True
