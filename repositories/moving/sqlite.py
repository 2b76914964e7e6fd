"""The gate's triggers in SQLite, where a writer locks the whole file."""

from collections.abc import Callable, Iterator

from repositories.moving.gate import REFUSAL, Engine, Noted, Statements, Working, refused_states

_CHANGES = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}


class SqliteEngine(Engine):
    """`is_there` tells whether the file exists."""

    at_once = True

    def __init__(self, is_there: Callable[[], bool]) -> None:
        self._is_there = is_there

    def has_marks(self, database: Statements) -> bool:
        return self._is_there() and bool(database.rows("SELECT 1 FROM sqlite_master WHERE name = 'moving_marks'", {}))

    def make_notes(self, role: str) -> str:
        return f"""CREATE TABLE IF NOT EXISTS moving_{role} (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL
        )"""

    def refuse(self, role: str, noted: Noted) -> Iterator[str]:
        moved = f"SELECT 1 FROM moving_marks WHERE role = '{role}' AND state IN ({refused_states()})"  # noqa: S608  names of ours
        for change in _CHANGES:
            yield f"""CREATE TRIGGER IF NOT EXISTS moving_refuse_{noted.table}_{change} BEFORE {change} ON {noted.table}
                WHEN EXISTS ({moved}) BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"""

    def note(self, role: str, noted: Noted) -> Iterator[str]:
        for change, rows in _CHANGES.items():
            notes = "".join(_insert(role, noted, row) for row in rows)
            yield f"""CREATE TRIGGER IF NOT EXISTS moving_note_{noted.table}_{change} AFTER {change} ON {noted.table}
                BEGIN {notes} END"""

    def remove(self, role: str, noted: Noted) -> Iterator[str]:  # noqa: ARG002  the port's
        for change in _CHANGES:
            yield f"DROP TRIGGER IF EXISTS moving_refuse_{noted.table}_{change}"
            yield f"DROP TRIGGER IF EXISTS moving_note_{noted.table}_{change}"

    def patience(self, work: Working) -> None:
        """Nothing to do: the busy timeout of the file applies."""

    def stop_writers(self, role: str, work: Working) -> None:
        """Nothing to do: the transaction has held the file's write lock since its start."""


def _insert(role: str, noted: Noted, row: str) -> str:
    kind, key = noted.kind.format(row=row), ", ".join(noted.key).format(row=row)
    return f"INSERT INTO moving_{role} (kind, key) VALUES ({kind}, json_array({key}));"  # noqa: S608  names of ours
