"""Whether a command of MongoDB names the shard keys of its documents.

A router sends a command to the shards of the keys in its filter, and to all shards if there are none. It recognizes a
key in an equality or an `$in` of the key's field, and in an equality of the document that contains the field.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.system.plans.mongo_plans import OTHERS, WRITES

Document = Mapping[str, Any]
DECLARED = tomllib.loads((Path(__file__).parents[3] / "docs" / "distribution.toml").read_text())
KEYS: dict[str, str] = {name: one["key"] for name, one in DECLARED["collections"].items()}
# Commands that continue a cursor or end a transaction go to the shards of these.
_ELSEWHERE = OTHERS - {"insert"}


def asks_all(command: Document) -> list[str]:
    """The collections that the command reads or writes on all shards."""
    name, collection = next(iter(command.items()))
    if name in _ELSEWHERE:
        return []
    return [
        asked for asked, filters in _filters(name, collection, command) if not any(_names(asked, f) for f in filters)
    ]


def is_refused(command: Document) -> bool:
    """Whether MongoDB 6 refuses the command on a sharded collection: a write of one document without the shard key."""
    name, collection = next(iter(command.items()))
    if name == "findAndModify":
        return not _names(collection, command["query"])
    alone: dict[str, Callable[[Document], bool]] = {
        "update": lambda update: not update.get("multi"),
        "delete": lambda delete: bool(delete["limit"] == 1),
    }
    return name in alone and any(
        alone[name](one) and not (_names(collection, one["q"]) or _is_equality(one["q"].get("_id")))
        for one in command[WRITES[name]]
    )


def _filters(name: str, collection: str, command: Document) -> Iterator[tuple[str, list[Document]]]:
    """For each part of a command its collection, and its filters, one of which must name the key."""
    if name == "insert":
        yield from ((collection, [one]) for one in command["documents"])
    elif name in WRITES:
        yield from ((collection, [one["q"]]) for one in command[WRITES[name]])
    elif name == "aggregate":
        yield from _staged(collection, command["pipeline"])
    else:
        yield collection, [command.get("filter", command.get("query", {}))]


def _staged(collection: str, pipeline: Sequence[Document]) -> Iterator[tuple[str, list[Document]]]:
    yield collection, [stage["$match"] for stage in pipeline[:1] if "$match" in stage]
    for stage in pipeline:
        if "$lookup" in stage:
            lookup = stage["$lookup"]
            inner = [part["$match"] for part in lookup.get("pipeline", []) if "$match" in part]
            joined = {lookup["foreignField"]: "each"} if "foreignField" in lookup else {}
            yield lookup["from"], [joined, *inner]


def _names(collection: str, which: Document) -> bool:
    key = KEYS[collection]
    if _is_equality(which.get(key)) or _is_list(which.get(key)):
        return True
    parent, _, field = key.partition(".")
    inside = which.get(parent)
    if field and isinstance(inside, Mapping) and _is_equality(inside):
        return field in inside
    alternatives = which.get("$or")
    return bool(alternatives) and all(_names(collection, one) for one in alternatives or ())


def _is_equality(value: Any) -> bool:
    return value is not None and not (isinstance(value, Mapping) and any(name.startswith("$") for name in value))


def _is_list(value: Any) -> bool:
    return isinstance(value, Mapping) and "$in" in value
