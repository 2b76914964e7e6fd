"""Writes that a move can note and refuse. Cassandra has no suitable triggers or locks, but every node checks statements
against the schema.

Each write mentions the column `gate` of its table, which is never set or read. A move begins by dropping this column:
from then on every process, however long it has been running, has its writes refused. It then reads the mark, and writes
in batches with notes of what it changes. A note mentions the gate of `moving_changes`, which is dropped for the switch.
"""

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from cassandra import InvalidRequest
from cassandra.concurrent import execute_concurrent
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

from repositories.batched import batched
from repositories.errors import MovedAway, Unavailable
from repositories.feeds.cassandra.batches import batch_of, together
from repositories.feeds.cassandra.errors import translated
from repositories.feeds.cassandra.link import CONCURRENCY, LOADING, SCHEMA_SECONDS, STORE, Link, Row
from repositories.feeds.cassandra.schema import CHANGE_ADD, CHANGES_READ, MARK_READ, MARKS_THERE, STATEMENTS, gated
from repositories.meter import asked
from repositories.moving.places import CLOSED

SLOTS = 8
ROLE = "feeds"
WAIT_SECONDS = 0.02
# For how long writes are noted before the gates of the tables are tried again.
NOTING_SECONDS = 5.0
# If a switch takes longer, its mover has died.
SWITCH_SECONDS = 3.0
# Rows in a batch with their notes.
TOGETHER = 20
# Removals in a batch, which mentions the gate once. Servers warn of batches with more partitions.
SHARED = 10
_GATE = re.compile(r"\bgate\b")
Values = Sequence[Any]


class Change(NamedTuple):
    """What a statement changes: the kind of the record, its ids and bucket, and the time of a removal."""

    kind: str
    ids: list[UUID]
    bucket: int | None
    stamp: int | None


def _entry(kind: str) -> Callable[[Values], Change]:
    return lambda row: Change(kind, [row[0], row[2]], row[1], None)


def _removal(kind: str) -> Callable[[Values], Change]:
    return lambda row: Change(kind, [row[1], row[3]], row[2], row[0])


CHANGES: dict[str, Callable[[Values], Change]] = {
    "author_add": _entry("author timelines"),
    "author_remove": _removal("author timelines"),
    "home_add": _entry("home timelines"),
    "home_remove": _removal("home timelines"),
    "home_drop": lambda row: Change("trims", [row[1]], row[2], row[0]),
    "notification_add": _entry("notifications"),
    "notification_note": _entry("notifications"),
    "notification_remove": _removal("notifications"),
    "read_mark": lambda row: Change("read markers", [row[0]], None, None),
}
_ADDED = 11  # the number of values of `notification_add`, with which those of `notification_note` begin


class GatedLink(Link):
    """A link whose writes a move can note and refuse. `reopen` is called when a mover has died in the switch."""

    reopen: Callable[[str], None]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._prepared: dict[str, Any] = {}
        self._has_marks = False
        # Until when writes are noted, by the monotonic clock; then the gates of the tables are tried again.
        self._noting_until = 0.0
        self._closing: tuple[str, float] = ("", 0.0)

    def write(self, name: str, rows: Iterable[Values]) -> None:
        if name not in CHANGES:
            super().write(name, rows)
            return
        every = list(rows)
        self._through(
            lambda: self._execute_all(name, *self._directly(name, every)),
            lambda: self._execute_all(name, ((batch, None) for batch in self._noted(name, every, 1))),
        )

    def write_together(self, name: str, rows: Iterable[Values], *, key: int, loading: bool = False) -> None:
        if name not in CHANGES:
            super().write_together(name, rows, key=key, loading=loading)
            return
        partitions = list(together(rows, key))
        self._through(
            lambda: self._execute_all(name, ((self._batch(name, some), None) for some in partitions), loading=loading),
            lambda: self._execute_all(
                name, ((batch, None) for some in partitions for batch in self._noted(name, some, TOGETHER))
            ),
        )

    def write_behind(self, name: str, rows: Iterable[Values]) -> None:
        """Write without mentioning a gate: for a mover, in the new place."""
        super().write(name, rows)

    def mark(self) -> Row | None:
        """State, epoch, URL, move, and the name of a switch in progress. May be called before the tables exist."""
        if not self._has_marks:
            self._has_marks = bool(self.schema(MARKS_THERE, (self._where.keyspace,)))
        if not self._has_marks:
            return None
        deadline = self.deadline()
        with asked(STORE, "moving_mark"), translated():
            statement = self._late(MARK_READ.format(keyspace=self._where.keyspace))
            session = self._session.get(max(deadline - time.monotonic(), 0.001))
            found = session.execute(statement, (ROLE,), timeout=max(deadline - time.monotonic(), 0.001))
            row: Row | None = found.one()
        return row

    def changes(self, since: UUID) -> list[Row]:
        """Slot, number, kind, ids, bucket and stamp of the notes after the number `since`."""
        with asked(STORE, "moving_changes", SLOTS), translated():
            session, deadline = self._session.get(SCHEMA_SECONDS), self.deadline()
            statement = self._late(CHANGES_READ.format(keyspace=self._where.keyspace))
            futures = [
                session.execute_async(statement, (slot, since), timeout=max(deadline - time.monotonic(), 0.001))
                for slot in range(SLOTS)
            ]
            return [row for future in futures for row in future.result()]

    def alter(self, text: str) -> None:
        """Change the schema. Returns when every node that is up has the change. Raises `Unavailable`."""
        with translated():
            done = self._session.get(SCHEMA_SECONDS).execute(text, execution_profile="schema")
        if not done.response_future.is_schema_agreed:
            raise Unavailable(STORE, "the nodes do not agree on the schema")

    def _through(self, directly: Callable[[], None], noted: Callable[[], None]) -> None:
        """Write in one of two ways, and after a refusal in the way that the mark requires. Raises `MovedAway`.

        Rows that were written before the refusal are written again, which changes nothing.
        """
        deadline, noting = self.deadline(), time.monotonic() < self._noting_until
        while True:
            try:
                (noted if noting else directly)()
            except Unavailable as error:
                if not _is_refusal(error):
                    raise
                noting = self._after_refusal(noting=noting)
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _after_refusal(self, *, noting: bool) -> bool:
        """After a refusal: whether writes have to be noted. Waits a little if neither way may be possible yet."""
        mark = self.mark()
        state = mark[0] if mark else "open"
        if state in CLOSED:
            raise MovedAway(STORE, "this role has moved to another place")
        if noting:
            if mark and mark[4] and state == "leaving":
                self._watch_switch(mark[4])
            time.sleep(WAIT_SECONDS)
            self._noting_until = 0.0
            return state == "leaving"
        self._noting_until = time.monotonic() + NOTING_SECONDS
        return True

    def _watch_switch(self, closing: str) -> None:
        """Watch the switch of this name, and end it if it has been in progress for too long: its mover has died."""
        now = time.monotonic()
        if self._closing[0] != closing:
            self._closing = closing, now
        elif now - self._closing[1] > SWITCH_SECONDS:
            self.reopen(closing)

    def _prepare(self) -> dict[str, Any]:
        """Prepare the statements that mention gates too. If a move has dropped the gates, that is done on first use."""
        found = super()._prepare()
        with contextlib.suppress(Unavailable):
            for name in CHANGES:
                self._open(name)
        return found

    def _open(self, name: str) -> Any:
        """The statement that mentions the gate."""
        return self._late(gated(self._texts[name]))

    def _late(self, text: str) -> Any:
        """Prepare a statement on first use: it cannot be prepared while a column that it mentions does not exist."""
        if text not in self._prepared:
            with translated():
                session = self._session.get(max(self.deadline() - time.monotonic(), 0.001))
                prepared = session.prepare(text)
            prepared.is_idempotent = True
            self._prepared[text] = prepared
        return self._prepared[text]

    def _directly(self, name: str, rows: Sequence[Values]) -> tuple[Iterable[tuple[Any, Values | None]], int]:
        """The calls with a mention of the gate, and how many of them to run concurrently."""
        if not STATEMENTS[name].startswith("DELETE"):
            return ((self._open(name), (UNSET_VALUE, *row)) for row in rows), CONCURRENCY
        return ((self._removals(name, some), None) for some in batched(rows, SHARED)), CONCURRENCY // SHARED

    def _batch(self, name: str, rows: Sequence[Values]) -> BatchStatement:
        return batch_of(self._open(name), ((UNSET_VALUE, *row) for row in rows))

    def _removals(self, name: str, rows: Sequence[Values]) -> BatchStatement:
        """A batch of removals. The removal of a row cannot mention the gate, so one statement does it for the batch.

        It comes first, so that a node that has lost its prepared statements notices a missing gate before all else.
        """
        with translated():
            statement = self._statements.get(max(self.deadline() - time.monotonic(), 0.001))[name]
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        batch.add(self._open(name), rows[0])
        for row in rows:
            batch.add(statement, row)
        return batch

    def _noted(self, name: str, rows: Sequence[Values], most: int) -> Iterator[BatchStatement]:
        """Logged batches of changes and their notes, each of which is applied completely or not at all."""
        with translated():
            statements = self._statements.get(max(self.deadline() - time.monotonic(), 0.001))
        for some in batched(rows, most):
            batch, slot = BatchStatement(BatchType.LOGGED), random.randrange(SLOTS)  # noqa: S311  no secret
            batch.is_idempotent = True
            for row in some:
                if name == "notification_note":
                    batch.add(statements["notification_add"], row[:_ADDED])
                    batch.add(statements["notification_noted"], row[_ADDED:])
                else:
                    batch.add(statements[name], row)
                batch.add(
                    self._late(CHANGE_ADD.format(keyspace=self._where.keyspace)),
                    (UNSET_VALUE, slot, *CHANGES[name](row)),
                )
            yield batch

    def _execute_all(
        self,
        name: str,
        calls: Iterable[tuple[Any, Values | None]],
        at_once: int = CONCURRENCY,
        *,
        loading: bool = False,
    ) -> None:
        with asked(STORE, name, 1, self._slow(name)) as call, translated():
            _, session, profile = self._writing(name, loading=loading)
            at_once = LOADING if loading else at_once
            # See `Link.write`.
            execute_concurrent(session, list(call.each(calls)), concurrency=at_once, execution_profile=profile)


def _is_refusal(error: Unavailable) -> bool:
    return isinstance(error.__cause__, InvalidRequest) and bool(_GATE.search(str(error.__cause__)))
