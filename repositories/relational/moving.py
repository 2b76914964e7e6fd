"""The relational role as a place that a move leaves or fills: all rows of all tables, unchanged."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from repositories.batched import batched
from repositories.dump_port import Load, RecordKind
from repositories.moving.gate import Engine, Noted, SqlGate
from repositories.moving.places import Changed, FrozenPlace, Key, Mark, OfKeys
from repositories.moving.sql_places import GatedPlace
from repositories.relational.bulk import Load as BulkInsert
from repositories.relational.dump import COPIED, batches
from repositories.relational.moved_rows import BY_NAME, PARENTS, SOME, changed, moved, of_keys, plain
from repositories.relational.statement_runner import Runner, Snapshot
from repositories.relational.work import Work, WorkBacked

ROLE = "relational"
# The most changes for which one transaction is short enough.
FEW = 500
Working = Callable[[], AbstractContextManager[Work]]


class RelationalPlace(GatedPlace):
    """`working` opens a transaction that may take long, `filling` one at the new place; `insert_` is the engine's bulk
    insert.

    `emptying` removes all rows, `numbering` prepares the numbers of new rows, and `finish` runs after a load.
    """

    def __init__(
        self,
        engine: Engine,
        noted_: Sequence[Noted],
        runner: Runner,
        snapshot: Snapshot,
        working: Working,
        insert_: BulkInsert,
        *,
        emptying: Sequence[str],
        numbering: Sequence[str],
        finish: Sequence[str] = (),
        filling: Working | None = None,
        apart: bool = False,
    ) -> None:
        """`apart`: write each batch in its own transaction, since the engine makes all other writers wait for one."""
        self._gate = SqlGate(_TextDatabase(runner, working), engine, ROLE, noted_)
        self._runner = runner
        self._snapshot = snapshot
        self._filling = filling or working
        self._insert = insert_
        self._emptying = emptying
        self._numbering = numbering
        self._finish = finish
        self._apart = apart

    @functools.cached_property
    def kinds(self) -> Sequence[RecordKind]:  # type: ignore[override]  # it is only read
        return [moved(kind).copied.kind for kind in BY_NAME]

    def key(self, kind: str, record: Any) -> Key:
        members = self._members(kind)
        return tuple(record[members.index(key)] for key in moved(kind).copied.keys)

    def is_empty(self) -> bool:
        return not any(self._runner.rows(moved(of.name).any, {}) for of in COPIED)

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        asking = self._gate.notes()
        with self._snapshot() as runner:
            notes = runner.rows(_text(asking), {}) if asking else ()
            if notes:
                self._gate.check()
            yield FrozenPlace(
                lambda kind: batches(runner, moved(kind).copied),
                lambda kind, keys: of_keys(runner, kind, keys),
                changed(notes),
                [seq for seq, *_ in notes],
            )

    def receive(self, mark: Mark) -> None:
        self._gate.close(mark)
        with self._filling() as work, self._gate.own(_TextWork(work)):
            _run(work, self._emptying)

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        with self._transactions() as transaction:

            def load(kind: str, records: Sequence[Any]) -> None:
                with transaction() as work:
                    self._put(work, kind, records)

            yield load
            with transaction() as work:
                _run(work, [*self._numbering, *self._finish])

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        """Remove children before their parents, and insert them after."""
        with self._transactions(few=sum(map(len, changed.values())) <= FEW) as transaction:
            found = {kind: of_keys(kind, list(keys)) for kind, keys in changed.items()}
            for kind in reversed(BY_NAME):
                keys = set(changed.get(kind, ()))
                if kind in PARENTS:
                    keys -= {self.key(kind, record) for record in found.get(kind, ())}
                for some in batched(sorted(keys, key=str), SOME):
                    with transaction() as work:
                        work.change(moved(kind).remove, {"keys": plain(some)})
            for kind in BY_NAME:
                for records in batched(found.get(kind, ()), SOME):
                    with transaction() as work:
                        self._replace(work, kind, records)
            with transaction() as work:
                _run(work, self._numbering)

    @contextlib.contextmanager
    def _transactions(self, *, few: bool = False) -> Iterator[Callable[[], AbstractContextManager[Work]]]:
        """Yield what opens a transaction: the same one for all batches, or a new one for each."""

        @contextlib.contextmanager
        def one() -> Iterator[Work]:
            with self._filling() as work, self._gate.own(_TextWork(work)):
                yield work

        if self._apart and not few:
            yield one
        else:
            with one() as work:
                yield lambda: contextlib.nullcontext(work)

    def _replace(self, work: Work, kind: str, records: Sequence[Any]) -> None:
        its = moved(kind)
        if its.put is None:
            self._put(work, kind, records)
            return
        members = self._members(kind)
        if its.free is not None:
            work.change(its.free, [{"its_id": record[0], "free": f"#{record[0]}"} for record in records])
        work.change(its.put, [dict(zip(members, record, strict=True)) for record in records])

    def _put(self, work: Work, kind: str, records: Sequence[Any]) -> None:
        members = self._members(kind)
        with work.connection() as connection:
            self._insert(
                connection, moved(kind).copied.target, [dict(zip(members, record, strict=True)) for record in records]
            )

    @staticmethod
    def _members(kind: str) -> tuple[str, ...]:
        return moved(kind).copied.kind.members


class _TextWork(WorkBacked):
    def execute(self, sql: str, parameters: dict[str, Any], /) -> Any:
        return _Changed(self._work.change(_text(sql), parameters))


class _Changed(NamedTuple):
    rowcount: int


class _TextDatabase:
    """The role's database as the gate uses it: SQL as text."""

    def __init__(self, runner: Runner, working: Working) -> None:
        self._runner = runner
        self._working = working

    def rows(self, sql: str, parameters: dict[str, Any], /) -> Sequence[Sequence[Any]]:
        return self._runner.rows(_text(sql), parameters)

    @contextlib.contextmanager
    def write(self) -> Iterator[_TextWork]:
        with self._working() as work:
            yield _TextWork(work)


def _run(work: Work, statements: Sequence[str]) -> None:
    for statement in statements:
        work.change(_text(statement), {})


@lru_cache(maxsize=128)
def _text(sql: str) -> TextClause:
    return text(sql)
