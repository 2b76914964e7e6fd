"""Marks, the refusal of writes, and notes of changes in a database of SQL. Triggers do it, so it holds for every
process, whatever its version and wherever it got the URL.

The tables have the prefix `moving_`. That of the marks is shared by the roles of a database.
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

# What a trigger says when it refuses a write.
REFUSAL = "this role has moved to another place"
TRIES, PAUSE = 60, 0.1


class Noted(NamedTuple):
    """How a change of a row of `table` is noted. Parts of SQL, in which `{row}` is the row before or after."""

    table: str
    kind: str
    key: Sequence[str]


class Working(Protocol):
    def execute(self, sql: str, parameters: dict[str, Any], /) -> Any: ...


class Statements(Protocol):
    """What is needed of a database. Parameters are written `:name`."""

    def rows(self, sql: str, parameters: dict[str, Any], /) -> Sequence[Sequence[Any]]: ...

    def write(self) -> AbstractContextManager[Working]: ...


class Engine(Protocol):
    """What differs between the engines. `role` is part of the names. `at_once`: all tables are changed in one
    transaction, where it is the only one that writes anyway; else each in its own, so that nobody waits for many.
    """

    at_once: bool

    def has_marks(self, database: Statements) -> bool: ...

    def make_notes(self, role: str) -> str:
        """The statement that makes the table of notes where there is none."""

    def refuse(self, role: str, noted: Noted) -> Iterable[str]:
        """What refuses changes of a table while the mark says so. Made again without harm."""

    def note(self, role: str, noted: Noted) -> Iterable[str]:
        """What notes changes of a table. Made again without harm."""

    def remove(self, role: str, noted: Noted) -> Iterable[str]:
        """What takes both away, where they are."""

    def patience(self, work: Working) -> None:
        """Wait for the locks of others in this transaction a short while only."""

    def stop_writers(self, role: str, work: Working) -> None:
        """Wait for the writes under way; those that come wait for the end of this transaction."""


MAKE_MARKS = """CREATE TABLE IF NOT EXISTS moving_marks (
    role TEXT PRIMARY KEY, state TEXT NOT NULL, epoch BIGINT NOT NULL, url TEXT NOT NULL, move TEXT NOT NULL
)"""
MARK = "SELECT state, epoch, url, move FROM moving_marks WHERE role = :role"
SET_MARK = """INSERT INTO moving_marks (role, state, epoch, url, move) VALUES (:role, :state, :epoch, :url, :move)
    ON CONFLICT (role) DO UPDATE SET state = excluded.state, epoch = excluded.epoch, url = excluded.url,
    move = excluded.move"""
# Unless the place was left.
LEAVE = f"{SET_MARK} WHERE moving_marks.state IN ('open', 'leaving')"
# It changes nothing, and keeps others from changing the mark in this transaction.
HOLD_OPEN = "UPDATE moving_marks SET state = 'open' WHERE role = :role AND state = 'open'"
OPEN = """UPDATE moving_marks SET state = 'open', epoch = :epoch, url = ''
    WHERE role = :role AND epoch <= :epoch AND state IN ('incoming', 'moved')"""
OF_NO_MOVE = """INSERT INTO moving_marks (role, state, epoch, url, move) VALUES (:role, 'open', 0, '', '')
    ON CONFLICT (role) DO NOTHING"""
GIVE_UP = """UPDATE moving_marks SET state = 'open', url = ''
    WHERE role = :role AND state = 'leaving' AND :move IN ('', move)"""
CHANGE = "UPDATE moving_marks SET state = :state WHERE role = :role AND state = :before AND move = :move"


class SqlGate:
    """`noted` are the tables of the role."""

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
        """Where the last trigger has been made, no transaction is under way that was not noted. The mark comes first:
        from then on no `tidy` of an earlier move takes triggers away.
        """
        self._leave(mark, self._engine.make_notes(self._role), f"DELETE FROM moving_{self._role}")  # noqa: S608  ours
        self._change_tables(self._engine.refuse, self._engine.note)
        self.check()

    def capture_nothing(self, mark: Mark) -> None:
        """As `capture`, of a place out of which nothing is copied."""
        self._leave(mark)
        self._change_tables(self._engine.refuse)
        self.check()

    def close(self, mark: Mark) -> None:
        """The place is `incoming`: it refuses writes but those inside `own`."""
        self._move = mark.move
        self._change_tables(self._engine.remove, self._engine.refuse)
        with self._database.write() as work:
            self._set(work, mark)

    @contextmanager
    def own(self, work: Working) -> Iterator[None]:
        """In this transaction the gate of an `incoming` place is open. Nobody else sees that."""
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
        """Raises `Overtaken`."""
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
        """The statement that reads all notes: `seq`, `kind`, and `key` as JSON. None unless the place is left."""
        found = self.mark()
        leaving = found is not None and found.state == "leaving"
        return f"SELECT seq, kind, key FROM moving_{self._role}" if leaving else None  # noqa: S608  a name of ours

    def forget(self, sequences: Iterable[int]) -> None:
        """In any order: a transaction with a lower number may end later."""
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
        """In one transaction, again where it does not get the lock of a table soon: others wait behind it."""
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
