"""MongoDB's plan and execution of a command, and its faults.

Faults are: the scan of a collection, however small; a blocking sort without a limit; and more than `MOST` keys or
documents examined.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import MongoClient

from tests.system.plans.recording import FRAME, Command

MOST = 20_000
# Methods that count index keys, so they examine all of them: for 100,000 posts, and a page of tags.
COUNTING = {"documents.posts.tags": 200_000}
READS = {"find", "aggregate", "count", "distinct", "findAndModify"}
WRITES = {"update": "updates", "delete": "deletes"}
# Commands that search for nothing.
OTHERS = {
    *("insert", "getMore", "killCursors", "commitTransaction", "abortTransaction", "endSessions"),
    *("hello", "ping", "serverStatus"),
}
Document = dict[str, Any]


class Fault:
    def __init__(self, command: Document, what: str, found: Document) -> None:
        self._command, self._what, self._found = command, what, found

    def __str__(self) -> str:
        shown = json.dumps(self._found, indent=1, default=str)
        return f"{self._what}\n{str(self._command)[:2000]}\n{shown[:8000]}"


class Planner:
    def __init__(self, url: str) -> None:
        self._client = MongoClient[Document](url, uuidRepresentation="standard")
        self._database = self._client.get_default_database()

    def close(self) -> None:
        self._client.close()

    def faults(self, command: Command) -> Iterator[Fault]:
        for seen in command.seen:
            for one in asked(seen):
                found = self._explained(one)
                most = max([MOST, *(COUNTING.get(method, 0) for method in command.methods)])
                yield from (Fault(one, wrong, found) for wrong in _wrong(found, one, most))

    def _explained(self, command: Document) -> Document:
        explain = {"explain": command, "verbosity": "executionStats"}
        return dict(self._database.command(explain, codec_options=self._database.codec_options))


def asked(command: Mapping[str, Any]) -> Iterator[Document]:
    """The parts of a command that can be explained: single updates and deletes, at most two of each command."""
    name = next(iter(command))
    bare = {key: value for key, value in command.items() if key not in FRAME or key == "cursor"}
    if name in READS:
        yield bare
    elif name in WRITES:
        each = WRITES[name]
        yield from ({name: command[name], each: [one]} for one in command[each][:2])
    else:
        assert name in OTHERS, f"explain {name} in tests/system/plans/mongo_plans.py, or add it to OTHERS"


def _wrong(found: Document, command: Document, most: int) -> Iterator[str]:
    stages = list(_stages(found))
    if any(stage.get("stage") == "COLLSCAN" or stage.get("collectionScans") for stage in stages):
        yield "a collection is scanned"
    if any(stage.get("stage") == "SORT" and not stage.get("limitAmount") for stage in stages):
        yield "a blocking sort has no limit"
    if _sorts_everything(command.get("pipeline", [])):
        yield "the pipeline has a sort without a limit"
    looked = sum(_examined(found))
    if looked > most:
        yield f"{looked} keys and documents are examined"


def _stages(found: Any) -> Iterator[Document]:
    """Every stage of an explanation, except those of rejected plans."""
    if isinstance(found, dict):
        yield found
        for name, part in found.items():
            if name not in {"rejectedPlans", "allPlansExecution", "command"}:
                yield from _stages(part)
    elif isinstance(found, list):
        for part in found:
            yield from _stages(part)


def _sorts_everything(pipeline: list[Document]) -> bool:
    """Whether a sort follows an unbounded stage. A sort at the start uses an index, or its plan has a stage SORT."""
    unbounded = False
    for number, stage in enumerate(pipeline):
        if "$limit" in stage:
            unbounded = False
        elif "$group" in stage or "$unwind" in stage:
            unbounded = unbounded or not any("$limit" in before for before in pipeline[:number])
        elif "$sort" in stage and unbounded:
            later = pipeline[number + 1 : number + 2]
            if not (later and "$limit" in later[0]):
                return True
    return False


def _examined(found: Document) -> Iterator[int]:
    for stage in _stages(found):
        yield int(stage.get("totalKeysExamined", 0)) + int(stage.get("totalDocsExamined", 0))
