"""Keys and statements by which a move copies the rows of every table, including those that a backup leaves out."""

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Column, Delete, Executable, LargeBinary, Select, bindparam, delete, select, tuple_, update

from repositories.batched import batched
from repositories.moving.gate import Noted
from repositories.moving.places import Key
from repositories.relational.dump import COPIED, LEFT_OUT, Copied, copied_whole
from repositories.relational.schema import tables
from repositories.relational.statement_runner import Runner
from repositories.relational.upserts import insert

# The tables of a backup, and those that a backup leaves out.
TABLES = (*COPIED, *(tables.metadata.tables[name] for name in LEFT_OUT))
BY_NAME = {of.name: of for of in TABLES}
# A trigger refuses changes of their rows.
APPEND_ONLY = ("transfers", "entries")
PARENTS = {foreign.column.table.name for one in TABLES for foreign in one.foreign_keys}
SOME = 500


class MovedTable(NamedTuple):
    """Statements on the rows with given keys. `free` replaces their unique values, so that other rows can have them."""

    copied: Copied
    of_keys: Select[Any]
    remove: Delete
    put: Executable | None
    free: Executable | None
    any: Select[Any]


@functools.cache
def moved(kind: str) -> MovedTable:
    of = BY_NAME[kind]
    keys = list(of.primary_key)
    among = (keys[0] if len(keys) == 1 else tuple_(*keys)).in_(bindparam("keys", expanding=True))
    put: Any = None
    if of.name in APPEND_ONLY:
        put = insert(of).on_conflict_do_nothing()
    elif of.name in PARENTS:
        new = insert(of)
        others = {one.name: new.excluded[one.name] for one in of.c if not one.primary_key}
        put = new.on_conflict_do_update(index_elements=keys, set_=others)
    free: Any = None
    if of is tables.accounts:
        free = update(of).where(of.c.id == bindparam("its_id")).values(handle_key=bindparam("free"))
    return MovedTable(
        copied_whole(of), select(*of.c).where(among), delete(of).where(among), put, free, select(*keys).limit(1)
    )


def noted(binary: str) -> list[Noted]:
    """All tables and their keys, for the gate. `binary` is how the engine writes ids and binary values as JSON."""
    return [Noted(of.name, f"'{of.name}'", [_part(one, binary) for one in of.primary_key]) for of in TABLES]


def _part(of: Column[Any], binary: str) -> str:
    part = f"{{row}}.{of.name}"
    return binary.format(part) if of.type.python_type in (UUID, bytes) else part


def of_keys(runner: Runner, kind: str, keys: Sequence[Key]) -> list[Any]:
    found = [
        tuple(row) for some in batched(keys, SOME) for row in runner.rows(moved(kind).of_keys, {"keys": plain(some)})
    ]
    # A hold comes before the transfer that ends it.
    hold = moved(kind).copied.kind.members.index("hold_id") if kind == "transfers" else None
    return found if hold is None else sorted(found, key=lambda row: row[hold] is not None)


def plain(keys: Sequence[Key]) -> list[Any]:
    return [key[0] if len(key) == 1 else key for key in keys]


def changed(notes: Sequence[Any]) -> dict[str, set[Key]]:
    found: dict[str, set[Key]] = defaultdict(set)
    for _, kind, key in notes:
        found[kind].add(key)
    return {kind: {_key(kind, key) for key in keys} for kind, keys in found.items()}


def _key(kind: str, noted_: Any) -> Key:
    types = (one.type for one in BY_NAME[kind].primary_key)
    return tuple(_value(of, value) for of, value in zip(types, msgspec.json.decode(noted_), strict=True))


def _value(of: Any, value: Any) -> Any:
    if isinstance(of, LargeBinary):
        return bytes.fromhex(value.removeprefix("\\x"))
    return UUID(value) if of.python_type is UUID else value
