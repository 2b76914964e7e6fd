"""The query plans of MongoDB's commands, and the text of commands without values."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pymongo import MongoClient

from repositories.slow_statements import Explained

EXPLAINED: Final = frozenset({"find", "aggregate", "count", "distinct", "update", "delete", "findAndModify"})
# Fields that the driver adds: no plan depends on them, and `explain` rejects some.
_OMITTED = frozenset(
    {"lsid", "txnNumber", "startTransaction", "autocommit", "readConcern", "writeConcern", "maxTimeMS"}
)
_MARK = "?"


def explained(client: MongoClient[Any], database: str, name: str, command: Mapping[str, Any]) -> Explained:
    asked = {key: value for key, value in command.items() if key[0] != "$" and key not in _OMITTED}
    text = f"{name} {command[name]} { {key: shape(value) for key, value in asked.items() if key != name} }"
    server = client[database]
    found = server.command("explain", asked, verbosity="queryPlanner", codec_options=server.codec_options)
    return Explained(text, "\n".join(steps(found)))


def shape(value: Any) -> Any:
    """Keep the names of fields and operators, and replace values by a mark."""
    if isinstance(value, Mapping):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        return [shape(one) for one in value]
    return _MARK


def steps(found: Any) -> Iterator[str]:
    """The stages of the winning plan with their indexes, from the last to the first."""
    if isinstance(found, Mapping):
        if isinstance(found.get("stage"), str):
            yield f"{found['stage']} {found.get('indexName', '')}".rstrip()
        for key, inner in found.items():
            if key != "rejectedPlans":
                yield from steps(inner)
    elif isinstance(found, list):
        for inner in found:
            yield from steps(inner)
