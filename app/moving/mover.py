"""One move: copy, catch up, verify, switch. Until the switch is written, the old place is the truth in any case."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from app.backup.file import End, encoded
from repositories.errors import Contention, Unavailable
from repositories.moving.places import FrozenPlace, Key, Mark, StorePlace

# Catching up ends with a round of at most `FEW` changes or `QUICK_SECONDS`. A switch that would take longer than
# `PAUSE_SECONDS` is abandoned and tried again.
FEW, QUICK_SECONDS, PAUSE_SECONDS = 100, 0.2, 0.7
ROUNDS, TRIES, AGAIN_SECONDS = 200, 60, 0.1
# The least time from the first mark to the switch. Processes read the marks twice a second, and open the new place in
# advance. A process that does not know of the move when it switches reads from the old place for a moment.
NOTICED_SECONDS = 1.0


class NotTheSame(Exception):
    """The copy differs from the original."""


class PlaceFails(Exception):
    """One of the two places fails or does not answer. The text says which one."""


class NotQuiet(Exception):
    """Changes arrive faster than they can be carried over."""


@contextmanager
def of_place(which: str) -> Iterator[None]:
    """Turn `Unavailable` into a `PlaceFails` that names the place `which`."""
    try:
        yield
    except Unavailable as error:
        raise PlaceFails(f"{which}: {error}") from error


OLD, NEW = "where it is", "--to"
Say = Callable[[str], None]
Counted = Callable[[str, Iterator[Sequence[Any]]], Iterator[Sequence[Any]]]


class Move:
    """Moves one role from `old` to `new`.

    `say` gets lines of text for the user. `counted` wraps the batches of a kind to show progress, and `ended` is called
    after each kind. `wait` pauses for a number of seconds, in which other processes notice the move.
    """

    def __init__(
        self,
        old: StorePlace,
        new: StorePlace,
        *,
        say: Say,
        counted: Counted,
        ended: Callable[[End], None],
        wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.id = uuid4().hex
        self._old = old
        self._new = new
        self._say = say
        self._counted = counted
        self._ended = ended
        self._wait = wait
        self._caught_up = 0

    def run(self, old_url: str, new_url: str) -> float:
        """Move the role. Returns for how many seconds writers had to wait.

        Raises `NotTheSame`, `NotQuiet`, `PlaceFails`, `Overtaken` and the old place's `StoreError`.
        """
        epoch = self.next_epoch()
        self._old.capture(Mark("leaving", epoch - 1, new_url, self.id))
        marked = time.monotonic()
        with of_place(NEW):
            found = self._new.mark()
            if found and found.move == self.id:
                raise NotTheSame("both URLs lead to the same place")
            self._new.receive(Mark("incoming", epoch, old_url, self.id))
        self.copy()
        self.catch_up(verify=True)
        left = marked + NOTICED_SECONDS - time.monotonic()
        if left > 0:
            self._wait(left)
        paused = self._switch(Mark("moved", epoch, new_url, self.id))
        try:
            self._new.open(epoch)
        except Unavailable as error:
            self._say(f"--to: {error}; the first process that uses the new place will complete the switch")
        return paused

    def next_epoch(self) -> int:
        return 1 + max(mark.epoch for mark in (self._old.mark(), self._new.mark(), Mark("open")) if mark)

    def count(self) -> None:
        """Read and count everything that would be copied."""
        with self._old.moment() as moment:
            for kind in self._old.kinds:
                digest = SumOfDigests(self._old, kind.name)
                for batch in self._counted(kind.name, moment.records(kind.name)):
                    digest.add(batch)
                self._ended(digest.end())

    def copy(self) -> None:
        with self._old.moment() as moment, self._new.loading() as load:
            for kind in self._old.kinds:
                digest = SumOfDigests(self._old, kind.name)
                for batch in self._counted(kind.name, moment.records(kind.name)):
                    with of_place(NEW):
                        load(kind.name, batch)
                    digest.add(batch)
                self._ended(digest.end())

    def catch_up(self, *, verify: bool = False) -> None:
        """Carry changes over in rounds until a round is short.

        With `verify`, then compare all records, while new changes are recorded, and catch up with those too.
        """
        for _ in range(ROUNDS):
            began = time.monotonic()
            with self._old.moment() as moment:
                count = self._carry(moment)
                if count:
                    self._old.forget(moment)
                if count <= FEW or time.monotonic() - began < QUICK_SECONDS:
                    if not verify:
                        return
                    # The new place equals this snapshot of the old one, and is not written until the comparison ends.
                    verify = False
                    self._compare(moment)
        raise NotQuiet("changes arrive faster than they are carried over")

    def _compare(self, moment: FrozenPlace) -> None:
        with self._new.moment() as copied:
            for kind in self._old.kinds:
                self._ended(_require_same(kind.name, (self._old, moment), (self._new, copied), self._counted))

    def _carry(self, moment: FrozenPlace) -> int:
        """Carry over the changes recorded by this snapshot, read them back and compare. Returns their number."""
        if not moment.changed:
            return 0

        def of_keys(kind: str, keys: Sequence[Key]) -> list[Any]:
            with of_place(OLD):
                return moment.of_keys(kind, keys)

        with of_place(NEW):
            self._new.apply(moment.changed, of_keys)
        with of_place(NEW), self._new.moment() as copied:
            for kind, keys in moment.changed.items():
                mine = _by_key(self._old, kind, of_keys(kind, list(keys)))
                if mine != _by_key(self._new, kind, copied.of_keys(kind, list(keys))):
                    raise NotTheSame(f"{kind}: changed records differ in the new place")
        count = sum(map(len, moment.changed.values()))
        self._caught_up += count
        return count

    def _switch(self, mark: Mark) -> float:
        for left in reversed(range(TRIES)):
            self.catch_up()
            began = time.monotonic()
            try:
                with self._old.switching(mark):
                    stopped = time.monotonic()
                    with self._old.moment() as moment:
                        count = self._carry(moment)
                    _require_quick(time.monotonic() - stopped)
            except Contention:
                if not left:
                    raise
                time.sleep(AGAIN_SECONDS)
            else:
                paused = time.monotonic() - began
                self._say(
                    f"{self._caught_up:,} changes carried over while copying, {count:,} of them while writers waited"
                )
                return paused
        raise AssertionError


def _require_quick(seconds: float) -> None:
    if seconds > PAUSE_SECONDS:
        raise Contention("carrying over the last changes takes too long")


def compare(old: StorePlace, new: StorePlace, ended: Callable[[End], None]) -> None:
    """Compare two places that are not being written to. Raises `NotTheSame`."""
    with old.moment() as one, new.moment() as other:
        for kind in old.kinds:
            ended(_require_same(kind.name, (old, one), (new, other)))


class SumOfDigests:
    """The count and a digest of the records of one kind, independent of their order: the sum of their SHA-256."""

    def __init__(self, place: StorePlace, kind: str, skipped: Collection[Key] = ()) -> None:
        self._place = place
        self._kind = kind
        self._skipped = skipped
        self._records = self._sum = 0

    def add(self, records: Sequence[Any]) -> None:
        place, kind = self._place, self._kind
        for record in records:
            seen = place.compared(kind, record)
            if seen is not None and place.key(kind, record) not in self._skipped:
                self._records += 1
                self._sum += int.from_bytes(hashlib.sha256(encoded(seen)).digest())

    def end(self) -> End:
        return End(self._kind, self._records, f"{self._sum % (1 << 256):064x}")


def _uncounted(_kind: str, batches: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    return batches


def _require_same(
    kind: str,
    one: tuple[StorePlace, FrozenPlace],
    other: tuple[StorePlace, FrozenPlace],
    counted: Counted = _uncounted,
) -> End:
    """Compare one kind, reading `one` first: after that `unsure` says what changed during the read."""
    (place, moment), (new_place, copied) = one, other
    mine = SumOfDigests(place, kind)
    for batch in counted(kind, moment.records(kind)):
        mine.add(batch)
    theirs = SumOfDigests(new_place, kind, moment.unsure.get(kind, ()))
    with of_place(NEW):
        for batch in copied.records(kind):
            theirs.add(batch)
    found, copy = mine.end(), theirs.end()
    if found != copy:
        raise NotTheSame(f"{kind}: {found.records:,} records, {copy.records:,} in the new place")
    return found


def _by_key(place: StorePlace, kind: str, records: Sequence[Any]) -> dict[Any, bytes]:
    seen = ((place.key(kind, record), place.compared(kind, record)) for record in records)
    return {key: encoded(one) for key, one in seen if one is not None}
