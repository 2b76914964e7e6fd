"""Jepsen's set-full and total-queue over feeds: acknowledged posts are the elements, and reads of feeds the looks.

`lost`: acknowledged, but missing at the end. `stale`: missing in a look that began after the acknowledgement.
`duplicated`: twice in one look, or shown twice to a reader who pages upward. `unexpected`: never written, or not for
this reader. `undead`: shown in a look that began after its deletion was acknowledged. `recovered`: of unknown outcome,
but present.
"""

import threading
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic
from uuid import UUID

from msgspec import Struct

from tests.system.proofs.screens import Screen

Missed = tuple[UUID, UUID]


class Outcome(Struct):
    """Counts of elements, and the faults as pairs of reader and post."""

    acknowledged: int = 0
    unknown: int = 0
    recovered: int = 0
    looks: int = 0
    climbers: int = 0
    lost: set[Missed] = set()
    stale: set[Missed] = set()
    duplicated: set[Missed] = set()
    unexpected: set[Missed] = set()
    undead: set[Missed] = set()

    def __str__(self) -> str:
        counts = {f: len(v) if isinstance(v := getattr(self, f), set) else v for f in self.__struct_fields__}
        return ", ".join(f"{name} {count}" for name, count in counts.items())

    @property
    def sound(self) -> bool:
        return not (self.lost or self.stale or self.duplicated or self.unexpected or self.undead)


class SetFull:
    """`follows` are the authors in each reader's feed, including the reader. They must not change during a look."""

    def __init__(self, follows: Mapping[UUID, Collection[UUID]]) -> None:
        self._follows = {reader: frozenset(authors) for reader, authors in follows.items()}
        self._author: dict[UUID, UUID] = {}
        self._begun: dict[UUID, float] = {}
        self._ended: dict[UUID, float] = {}
        self._by_id: list[UUID] = []
        self._log: list[UUID] = []
        self._checked: dict[UUID, int] = {}
        self._doomed: set[UUID] = set()
        self._buried: dict[UUID, float] = {}
        self._guard = threading.Lock()
        self.outcome = Outcome()

    @property
    def count(self) -> int:
        return len(self._ended)

    def acknowledged(self, post: UUID, author: UUID, begun: float) -> None:
        with self._guard:
            self._author[post], self._begun[post], self._ended[post] = author, begun, monotonic()
            insort(self._by_id, post)
            self._log.append(post)

    def deleting(self, post: UUID) -> None:
        """The post is being deleted: from now on it may be missing."""
        with self._guard:
            self._doomed.add(post)

    def deleted(self, post: UUID) -> None:
        """The deletion was acknowledged: from now on the post must be missing."""
        with self._guard:
            self._buried[post] = monotonic()

    def settled(self, reader: UUID, authors: Collection[UUID]) -> None:
        """Set the final followees of a reader who has not looked so far."""
        self._follows[reader] = frozenset(authors)

    def unknown(self) -> None:
        with self._guard:
            self.outcome.unknown += 1

    def looked(self, reader: UUID, begun: float, found: Sequence[UUID]) -> None:
        """Check a feed that was read downward from the top to the last of `found`."""
        with self._guard:
            newer = self._by_id[bisect_left(self._by_id, found[-1]) :] if found else list(self._by_id)
            owed = {p for p in newer if self._ended[p] < begun and self._author[p] in self._follows[reader]}
            self.outcome.looks += 1
            self.outcome.stale |= {(reader, p) for p in owed.difference(found, self._doomed)}
            self.outcome.undead |= {(reader, p) for p in found if self._buried.get(p, begun) < begun}
            self.outcome.duplicated |= {(reader, p) for p in _duplicates(found)}

    def climbed(self, screen: Screen, begun: float, seen: Collection[UUID]) -> None:
        """Check everything that a reader who pages upward has seen; the last time began at `begun`."""
        started = screen.started
        if started is None or started > begun:
            return
        with self._guard:
            first = last = self._checked.get(screen.reader, 0)
            while last < len(self._log) and self._ended[self._log[last]] < begun:
                last += 1
            self._checked[screen.reader] = max(first, last)
            mine = self._follows[screen.reader]
            owed = {p for p in self._log[first:last] if self._begun[p] > started and self._author[p] in mine}
            self.outcome.looks += 1
            self.outcome.stale |= {(screen.reader, p) for p in owed.difference(seen, self._doomed)}

    def finish(self, truth: Mapping[UUID, UUID], feeds: Mapping[UUID, Sequence[UUID]]) -> None:
        """Compare the final posts (`truth`: post to author) with every reader's feed, which must have exactly these."""
        out = self.outcome
        out.acknowledged, out.recovered = self.count, len(truth.keys() - self._ended.keys())
        for reader, feed in feeds.items():
            due = {post for post, author in truth.items() if author in self._follows[reader]}
            out.lost |= {(reader, p) for p in {*due, *(self._posts_for(reader) - self._doomed)}.difference(feed)}
            out.undead |= {(reader, p) for p in self._buried.keys() & feed}
            out.unexpected |= {(reader, p) for p in set(feed) - due}
            out.duplicated |= {(reader, p) for p in _duplicates(feed)}
            assert list(feed) == sorted(feed, reverse=True)

    def finish_climb(self, screen: Screen, truth: Mapping[UUID, UUID]) -> None:
        """Check that a reader who pages upward has seen each post since the start once. Posts that were under way at
        the start may have been seen.
        """
        if screen.started is None:
            return
        out, reader, started = self.outcome, screen.reader, screen.started
        out.climbers += 1
        due = {p for p in self._posts_for(reader) if self._begun[p] > started}
        possible = {p for p, author in truth.items() if author in self._follows[reader]} | self._posts_for(reader)
        over = {p for p in possible if self._ended.get(p, started) < started} - screen.first
        out.lost |= {(reader, p) for p in due.difference(screen.seen, self._doomed)}
        out.duplicated |= {(reader, p) for p in _duplicates(screen.seen)}
        out.unexpected |= {(reader, p) for p in set(screen.seen) - possible}
        early = over.intersection(screen.seen)
        out.unexpected |= {(reader, p) for p in early if p < min(screen.first)}

    def _posts_for(self, reader: UUID) -> set[UUID]:
        return {p for p, author in self._author.items() if author in self._follows[reader]}


def _duplicates(found: Iterable[UUID]) -> set[UUID]:
    return {post for post, times in Counter(found).items() if times > 1}
