"""Records what is passed to the drivers, with the port's method that asked."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from sqlalchemy import Engine, event

from tests.system.plans.ports import Methods, RunningMethods

# The number of sets of values that are kept of each statement.
KEPT = 6
TEMPORARY = "loaded_"


class Statement:
    def __init__(self, methods: Methods, sql: str) -> None:
        self.methods = methods
        self.sql = sql
        self.values: list[Mapping[str, Any]] = []
        # The plans of a statement over a temporary table, which does not exist afterwards.
        self.plans: list[dict[str, Any]] = []
        # The level by the server's settings at the time of the statement.
        self.level = ""


class Statements:
    """Records the statements of every SQLAlchemy engine. COPY is not recorded, and has no plan."""

    def __init__(self, asking: RunningMethods) -> None:
        self._asking = asking
        self._kept: dict[tuple[Methods, str], Statement] = {}

    @property
    def kept(self) -> list[Statement]:
        return list(self._kept.values())

    @contextmanager
    def listening(self) -> Iterator[None]:
        event.listen(Engine, "before_cursor_execute", self._record)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._record)

    def _record(self, _connection: object, cursor: Any, sql: str, values: Any, *_: object) -> None:
        methods = self._asking.methods
        kept = self._kept.setdefault((methods, sql), Statement(methods, sql))
        if not kept.level and not sql.startswith("SET"):
            kept.level = level_of(cursor.connection)
        if len(kept.values) >= KEPT:
            return
        one = values[0] if isinstance(values, list) else values
        kept.values.append(one)
        if TEMPORARY in sql and sql.startswith(("INSERT", "UPDATE", "DELETE", "SELECT", "WITH")):
            with cursor.connection.cursor() as own:
                row = own.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), one).fetchone()
                kept.plans.append(row[0][0]["Plan"])


def level_of(connection: Any) -> str:
    """The level in the words of the column "asked for" in docs/consistency.md."""
    with connection.cursor() as own:
        isolation, durability, standby = own.execute(LEVEL).fetchone()
    how = "a statement by itself" if connection.autocommit else "in a transaction"
    return f"{how}, {isolation}, `synchronous_commit` {durability}{', on a standby' if standby else ''}"


LEVEL = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit'), pg_is_in_recovery()"


def level_of_command(command: Mapping[str, Any]) -> str:
    """The same for a command. In a transaction the first command has the read concern, the last the write concern."""
    if "writeConcern" in command:
        concern = command["writeConcern"]
        return f"write concern {concern['w']}{', journalled' if concern.get('j') else ''}"
    read = f"read concern {command.get('readConcern', {}).get('level', 'none')}"
    if command.get("autocommit") is False:
        return f"in a transaction, {read}" if "readConcern" in command else ""
    return f"{read}, {command.get('$readPreference', {'mode': 'primary'})['mode']}"


class Command:
    def __init__(self, methods: Methods, shape: str) -> None:
        self.methods = methods
        self.levels: set[str] = set()
        self.shape = shape
        self.seen: list[dict[str, Any]] = []


class Commands(CommandListener):
    """Records the commands of a pymongo client."""

    def __init__(self, asking: RunningMethods) -> None:
        self._asking = asking
        self._guard = threading.Lock()
        self._kept: dict[tuple[Methods, str], Command] = {}
        self._on = False

    @property
    def kept(self) -> list[Command]:
        return list(self._kept.values())

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._on = True
        yield
        self._on = False

    def started(self, event: CommandStartedEvent) -> None:
        if not self._on:
            return
        methods, command = self._asking.methods, dict(event.command)
        shape = shape_of({k: v for k, v in command.items() if k not in FRAME})
        with self._guard:
            kept = self._kept.setdefault((methods, shape), Command(methods, shape))
            kept.levels.add(level_of_command(command))
            if len(kept.seen) < KEPT:
                kept.seen.append(command)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


# The fields that every command has besides its own.
FRAME = {
    *("$db", "$clusterTime", "$readPreference", "lsid", "txnNumber", "autocommit", "startTransaction"),
    *("readConcern", "writeConcern", "maxTimeMS", "ordered", "cursor"),
}


def shape_of(asked: Any) -> str:
    """The text of a command without its values. Lists differ only by being empty, short or long."""
    if isinstance(asked, Mapping):
        return "{" + ", ".join(f"{key}: {shape_of(value)}" for key, value in asked.items()) + "}"
    if isinstance(asked, list):
        inner = dict.fromkeys(shape_of(one) for one in asked)
        return f"[{', '.join(inner)}{' ...' if len(asked) > MANY else ''}]"
    return asked if isinstance(asked, str) and asked.startswith("$") else type(asked).__name__


MANY = 200
