"""The mark of a place of feeds in Cassandra, and its gates.

The mark is changed by conditional writes; the gates are columns. The two cannot be changed atomically, so a process
that puts gates back holds the mark meanwhile. A move begins after that, or when the hold of a dead process has run out.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from cassandra.cluster import EXEC_PROFILE_DEFAULT

from repositories.errors import Unavailable
from repositories.feeds.cassandra.link import SCHEMA_SECONDS, Row
from repositories.feeds.cassandra.moving_gate import ROLE, WAIT_SECONDS, GatedLink
from repositories.feeds.cassandra.schema import GATE_COLUMN
from repositories.moving.places import CLOSED, Mark, Overtaken

# The prefix of `closing` while gates are put back. Otherwise it is the name of a switch in progress.
TIDYING = "tidying "
# A schema change has ended by then, so a hold that was not renewed in this time is that of a dead process.
HELD_SECONDS = SCHEMA_SECONDS + 5.0


class PlaceMark:
    def __init__(self, link: GatedLink, keyspace: str) -> None:
        self._link = link
        self._keyspace = keyspace

    def read(self) -> Mark | None:
        row = self._link.mark()
        return _mark(row) if row else None

    def take(self, mark: Mark, *, open_only: bool = False) -> None:
        """Set the mark for a move. Raises `Overtaken` if somebody else does so at the same time.

        With `open_only` also if the place was left.
        """
        before = self._after_tidying()
        if before and open_only and before[0] in CLOSED:
            raise overtaken()
        self.put(mark, before)

    def put(self, mark: Mark, before: Row | None) -> None:
        """Replace the mark `before`. Raises `Overtaken` if it has changed since."""
        row = (mark.state, mark.epoch, mark.url, mark.move)
        if before:
            _, _, _, move, closing = before
            change = "SET state = %s, epoch = %s, url = %s, move = %s, closing = '' WHERE role = %s"
            done = self.applied(
                f"{change} IF state = %s AND move = %s AND closing = %s", (*row, ROLE, before[0], move, closing)
            )
        else:
            [[done, *_]] = self.rows(
                """INSERT INTO {}.moving_marks (state, epoch, url, move, role, closing) VALUES (%s, %s, %s, %s, %s, '')
                IF NOT EXISTS""",
                (*row, ROLE),
                profile="write",
            )
        if not done:
            raise overtaken()

    def tidied(self, move: str, steps: Iterable[Callable[[], None]]) -> None:
        """Run the steps that restore a place to its state before a move, holding the mark.

        Does nothing if the place is not the truth, or if `move` is given and the last move is another one. Raises
        `Overtaken` if a move begins because this takes too long.
        """
        row = self._link.mark()
        if row is None or row[0] in CLOSED or move not in ("", row[3]):
            return
        state, _, _, move, held = row
        for step in steps:
            name = f"{TIDYING}{uuid4().hex}"
            change = "SET state = 'open', url = '', closing = %s WHERE role = %s"
            if not self.applied(
                f"{change} IF state = %s AND move = %s AND closing = %s", (name, ROLE, state, move, held)
            ):
                raise overtaken()
            state, held = "open", name
            step()
        self.applied("SET closing = '' WHERE role = %s IF closing = %s", (ROLE, held))

    def applied(self, change: str, values: Sequence[Any]) -> bool:
        [[done, *_]] = self.rows(f"UPDATE {{}}.moving_marks {change}", values, profile="write")
        return bool(done)

    def rows(self, text: str, values: Sequence[Any] = (), *, profile: Any = EXEC_PROFILE_DEFAULT) -> list[Any]:
        return self._link.schema(text.format(self._keyspace), values, profile=profile)

    def have_gates(self, *tables: str) -> None:
        for table in tables:
            self._change_gate(table, "ADD gate tinyint", there=True)

    def drop_gates(self, *tables: str) -> None:
        for table in tables:
            self._change_gate(table, "DROP gate", there=False)

    def require_no_gates(self, *tables: str) -> None:
        """Raises `Overtaken` if somebody has put one back."""
        if any(self._has_gate(table) for table in tables):
            raise overtaken()

    def _change_gate(self, table: str, change: str, *, there: bool) -> None:
        if self._has_gate(table) is there:
            return
        try:
            self._link.alter(f"ALTER TABLE {self._keyspace}.{table} {change}")
        except Unavailable:
            # Somebody else has done so at the same time.
            if self._has_gate(table) is not there:
                raise

    def _has_gate(self, table: str) -> bool:
        return bool(self._link.schema(GATE_COLUMN, (self._keyspace, table)))

    def _after_tidying(self) -> Row | None:
        """The mark's row, once no process puts gates back any more, or the hold of a dead one has run out."""
        row, since = self._link.mark(), time.monotonic()
        while row and row[4].startswith(TIDYING) and time.monotonic() - since < HELD_SECONDS:
            time.sleep(WAIT_SECONDS)
            before, row = row, self._link.mark()
            if row != before:
                since = time.monotonic()
        return row


def overtaken() -> Overtaken:
    return Overtaken("another move of feeds has begun or ended meanwhile")


def _mark(row: Row) -> Mark:
    return Mark(row[0], row[1], row[2] or "", row[3])
