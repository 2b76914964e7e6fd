"""Records the SQL that Quartet sends for a command, and replays it directly with psycopg."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from msgspec import Struct
from sqlalchemy import Connection, event

from repositories.relational.postgres.store import PostgresRelational


class Sent(Struct, frozen=True):
    """One statement. `many` is for `executemany`; `alone` means that it was not part of the transaction."""

    sql: str
    values: Any
    many: bool
    alone: bool

    @property
    def tells(self) -> bool:
        return "INSERT INTO outbox" in self.sql


Script = list[Sent]


@contextmanager
def recorded(store: PostgresRelational) -> Iterator[Callable[[], Script]]:
    """Yield a function that returns the statements sent since its last call."""
    script: Script = []
    listeners = [(store._reading.engine, _listener(script, alone=True))]  # noqa: SLF001 - to listen to its statements
    listeners.append((store._writing.engine, _listener(script, alone=False)))  # noqa: SLF001

    def take() -> Script:
        taken = list(script)
        script.clear()
        return taken

    for engine, listener in listeners:
        event.listen(engine, "before_cursor_execute", listener)
    try:
        yield take
    finally:
        for engine, listener in listeners:
            event.remove(engine, "before_cursor_execute", listener)


def _listener(script: Script, *, alone: bool) -> Callable[..., None]:
    def heard(_connection: Connection, _cursor: Any, sql: str, values: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's signature
        script.append(Sent(sql, values, many, alone))

    return heard


class Bare:
    """Replays scripts over two connections, like Quartet: one for single statements, one for transactions."""

    def __init__(self, url: str) -> None:
        self._single = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self._whole = psycopg.connect(url, prepare_threshold=0)

    def __call__(self, script: Sequence[Sent]) -> None:
        returned: dict[Any, Any] = {}
        for sent in script:
            cursor = (self._single if sent.alone else self._whole).cursor()
            if sent.many:
                cursor.executemany(sent.sql, sent.values)
                continue
            values = sent.values
            if sent.sql.startswith("INSERT INTO entries"):
                values = values | _as_returned(values, returned)
            cursor.execute(sent.sql, values)
            if sent.sql.startswith("UPDATE ledger_accounts") and cursor.description:
                returned |= {owner: row for owner, *row in cursor.fetchall()}
            elif cursor.description:
                cursor.fetchall()
        self._whole.commit()

    def close(self) -> None:
        self._single.close()
        self._whole.close()


def _as_returned(values: dict[str, Any], accounts: dict[Any, Any]) -> dict[str, Any]:
    """The account columns of both entries as just returned, since they depend on the entries before."""
    names = ("balance", "sequence", "hash")
    return {
        f"{name}_{turn}": value
        for turn in (0, 1)
        for name, value in zip(names, accounts[values[f"owner_{turn}"]], strict=True)
    }


def without_outbox(scripts: Sequence[Script]) -> list[Script]:
    return [[sent for sent in script if not sent.tells] for script in scripts]
