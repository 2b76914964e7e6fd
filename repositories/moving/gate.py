"""Marks, refusal of writes, and notes of changes in an SQL database. Triggers implement them, so they apply to every
process, whatever its version and configuration.

The tables have the prefix `moving_`. All roles in a database share the table of marks.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any, NamedTuple, Protocol

import msgspec

from repositories.batched import batched
from repositories.errors import Contention
from repositories.moving.places import CLOSED, Mark, Overtaken

# The error message of a trigger that refuses a write.
REFUSAL = "this role has moved to another place"
TRIES, PAUSE = 60, 0.1


class Noted(NamedTuple):
    """How a change of a row of `table` is noted: `kind` and `key` are SQL expressions in which `{row}` stands for the
    old or the new row.
    """

    table: str
    kind: str
    key: Sequence[str]


class Working(Protocol):
    def execute(self, sql: str, parameters: dict[str, Any], /) -> Any: ...


class Statements(Protocol):
    """The database operations that the gate needs. Parameters are written `:name`."""

    def rows(self, sql: str, parameters: dict[str, Any], /) -> Sequence[Sequence[Any]]: ...

    def write(self) -> AbstractContextManager[Working]: ...


class Engine(Protocol):
    """What differs between the engines. `role` is part of the names of tables and triggers. With `at_once` all tables
    are changed in one transaction (the engine has a single writer anyway); otherwise each in its own, so that no other
    transaction waits for the locks of several tables.
    """

    at_once: bool

    def has_marks(self, database: Statements) -> bool: ...

    def make_notes(self, role: str) -> str:
        """The statement that creates the table of notes if it does not exist."""

    def refuse(self, role: str, noted: Noted) -> Iterable[str]:
        """The statements that make a table refuse changes while the mark is in a closed state. Idempotent."""

    def note(self, role: str, noted: Noted) -> Iterable[str]:
        """The statements that make a table note its changes. Idempotent."""

    def remove(self, role: str, noted: Noted) -> Iterable[str]:
        """The statements that remove both kinds of triggers, if they exist."""

    def patience(self, work: Working) -> None:
        """Limit how long this transaction waits for locks."""

    def stop_writers(self, role: str, work: Working) -> None:
        """Wait until running writes have ended, and make new ones wait for the end of this transaction."""


MAKE_MARKS = """CREATE TABLE IF NOT EXISTS moving_marks (
    role TEXT PRIMARY KEY, state TEXT NOT NULL, epoch BIGINT NOT NULL, url TEXT NOT NULL, move TEXT NOT NULL
)"""
MARK = "SELECT state, epoch, url, move FROM moving_marks WHERE role = :role"
SET_MARK = """INSERT INTO moving_marks (role, state, epoch, url, move) VALUES (:role, :state, :epoch, :url, :move)
    ON CONFLICT (role) DO UPDATE SET state = excluded.state, epoch = excluded.epoch, url = excluded.url,
    move = excluded.move"""
# Changes no row if the place has already been left.
LEAVE = f"{SET_MARK} WHERE moving_marks.state IN ('open', 'leaving')"
# Locks the row of the mark for this transaction, without changing its value.
HOLD_OPEN = "UPDATE moving_marks SET state = 'open' WHERE role = :role AND state = 'open'"
OPEN = """UPDATE moving_marks SET state = 'open', epoch = :epoch, url = ''
    WHERE role = :role AND epoch <= :epoch AND state IN ('incoming', 'moved')"""
OF_NO_MOVE = """INSERT INTO moving_marks (role, state, epoch, url, move) VALUES (:role, 'open', 0, '', '')
    ON CONFLICT (role) DO NOTHING"""
GIVE_UP = """UPDATE moving_marks SET state = 'open', url = ''
    WHERE role = :role AND state = 'leaving' AND :move IN ('', move)"""
CHANGE = "UPDATE moving_marks SET state = :state WHERE role = :role AND state = :before AND move = :move"


class SqlGate:
    """The gate of one role's tables, which `noted` lists."""

    def __init__(self, database: Statements, engine: Engine, role: str, noted: Sequence[Noted]) -> None:
        self._database = database
        self._engine = engine
        self._role = role
        self._noted = noted
        self._has_marks = False
        self._move = ""

    def mark(self) -> Mark | None:
        if not self._has_marks:
            self._has_marks = self._engine.has_marks(self._database)
        if not self._has_marks:
            return None
        rows = self._database.rows(MARK, {"role": self._role})
        return msgspec.convert(dict(zip(Mark.__struct_fields__, rows[0], strict=True)), Mark) if rows else None

    def open(self, epoch: int) -> None:
        with self._database.write() as work:
            work.execute(OPEN, {"role": self._role, "epoch": epoch})

    def capture(self, mark: Mark) -> None:
        """Once the last trigger exists, no running transaction has changes that were not noted. The mark is written
        first: from then on no `tidy` of an earlier move removes triggers.
        """
        self._leave(mark, self._engine.make_notes(self._role), f"DELETE FROM moving_{self._role}")  # noqa: S608  ours
        self._change_tables(self._engine.refuse, self._engine.note)
        self.check()

    def capture_nothing(self, mark: Mark) -> None:
        """Like `capture`, for a place whose records are not copied: changes are not noted."""
        self._leave(mark)
        self._change_tables(self._engine.refuse)
        self.check()

    def close(self, mark: Mark) -> None:
        """Mark the place `incoming`, so that it refuses all writes except those inside `own`."""
        self._move = mark.move
        self._change_tables(self._engine.remove, self._engine.refuse)
        with self._database.write() as work:
            self._set(work, mark)

    @contextmanager
    def own(self, work: Working) -> Iterator[None]:
        """Open the gate of an `incoming` place for this transaction. Others never see it open."""
        self._change(work, "incoming", "open")
        yield
        self._change(work, "open", "incoming")

    @contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        with self._database.write() as work:
            self._engine.patience(work)
            self._engine.stop_writers(self._role, work)
            self.check()
            yield
            self._set(work, mark)

    def check(self) -> None:
        """Raise `Overtaken` unless the place is `leaving` by this move."""
        found = self.mark()
        if found is None or found.move != self._move or found.state != "leaving":
            raise self._overtaken()

    def release(self) -> None:
        with self._database.write() as work:
            self._change(work, "leaving", "open")

    def tidy(self, move: str = "") -> None:
        with self._database.write() as work:
            work.execute(MAKE_MARKS, {})
            work.execute(GIVE_UP, {"role": self._role, "move": move})
            work.execute(OF_NO_MOVE, {"role": self._role})
        self._change_tables(self._engine.remove, first=self._hold_open)
        self._make([f"DROP TABLE IF EXISTS moving_{self._role}"], self._hold_open)

    def notes(self) -> str | None:
        """The statement that reads all notes as `seq`, `kind`, and `key` (JSON). None unless the place is `leaving`."""
        found = self.mark()
        leaving = found is not None and found.state == "leaving"
        return f"SELECT seq, kind, key FROM moving_{self._role}" if leaving else None  # noqa: S608  a name of ours

    def forget(self, sequences: Iterable[int]) -> None:
        """Delete the notes with these numbers. A maximum is not enough: a lower number may be committed later."""
        for some in batched(sequences, 500):
            numbers = ", ".join(map(str, some))
            with self._database.write() as work:
                work.execute(f"DELETE FROM moving_{self._role} WHERE seq IN ({numbers})", {})  # noqa: S608  integers

    def _set(self, work: Working, mark: Mark) -> None:
        work.execute(SET_MARK, {"role": self._role, **msgspec.structs.asdict(mark)})

    def _change(self, work: Working, before: str, state: str) -> None:
        values = {"role": self._role, "state": state, "before": before, "move": self._move}
        if work.execute(CHANGE, values).rowcount != 1:
            raise self._overtaken()

    def _leave(self, mark: Mark, *statements: str) -> None:
        self._move = mark.move

        def left(work: Working) -> None:
            self._engine.stop_writers(self._role, work)
            if work.execute(LEAVE, {"role": self._role, **msgspec.structs.asdict(mark)}).rowcount != 1:
                raise self._overtaken()

        self._make(statements, left)

    def _hold_open(self, work: Working) -> None:
        if work.execute(HOLD_OPEN, {"role": self._role}).rowcount != 1:
            raise self._overtaken()

    def _overtaken(self) -> Overtaken:
        return Overtaken(f"another move of {self._role} has begun or ended meanwhile")

    def _change_tables(
        self, *changes: Callable[[str, Noted], Iterable[str]], first: Callable[[Working], None] = lambda _: None
    ) -> None:
        each = [[sql for change in changes for sql in change(self._role, noted)] for noted in self._noted]
        for statements in [list(chain(*each))] if self._engine.at_once else each:
            self._make(statements, first)

    def _make(self, statements: Sequence[str], first: Callable[[Working], None]) -> None:
        """Run the statements in one transaction. Retry if it does not get a table lock soon, since other transactions
        queue behind a waiting lock request.
        """
        for left in reversed(range(TRIES)):
            try:
                with self._database.write() as work:
                    self._engine.patience(work)
                    work.execute(MAKE_MARKS, {})
                    first(work)
                    for statement in statements:
                        work.execute(statement, {})
            except Contention:
                if not left:
                    raise
                time.sleep(PAUSE)
            else:
                return


def refused_states() -> str:
    return ", ".join(f"'{state}'" for state in CLOSED)
