"""A reader of `GET /feed/stream` in one process."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from werkzeug.test import TestResponse

from app.services.live.hub import LiveLimits
from repositories.hot import LiveEvent
from tests.apps import Person, System

HEARTBEAT = timedelta(seconds=0.3)
FAST = LiveLimits(6, each=4, batch=10, poll=timedelta(seconds=0.01), heartbeat=HEARTBEAT, check=timedelta(seconds=0.05))
Make = Callable[..., System]


class Block(NamedTuple):
    """One block of the stream. A block that consists of comments has no fields."""

    fields: dict[str, str]

    @property
    def name(self) -> str:
        return self.fields.get("event", "")

    @property
    def id(self) -> str:
        return self.fields["id"]


class Reader:
    """An open stream."""

    def __init__(self, person: Person, last_id: str | None = None, **query: str) -> None:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self.response: TestResponse = person.send("GET", "/feed/stream", headers=headers, query_string=query)
        assert self.response.status_code == 200, self.response.get_data()
        body: Any = self.response.response
        self._parts: Iterator[bytes] = iter(body)
        self._blocks: list[Block] = []
        self.start = self.block().id

    def block(self) -> Block:
        """The next block. Raises `StopIteration` at the end of the stream."""
        while not self._blocks:
            text = next(self._parts).decode()
            assert text.endswith("\n\n")
            self._blocks = [parsed(block) for block in text.split("\n\n")[:-1]]
        return self._blocks.pop(0)

    def events(self, count: int) -> list[Block]:
        """The next events, without heartbeats."""
        found: list[Block] = []
        deadline = time.monotonic() + 10
        while len(found) < count:
            assert time.monotonic() < deadline, found
            found += [block for block in [self.block()] if block.name]
        return found

    def end(self) -> None:
        """Wait for the end of the stream."""
        deadline = time.monotonic() + 10
        for _ in self._parts:
            assert time.monotonic() < deadline

    def close(self) -> None:
        self.response.close()


def parsed(block: str) -> Block:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        assert name not in fields
        if name:
            fields[name] = value.removeprefix(" ")
    return Block(fields)


def publish(system: System, person: Person, *texts: object) -> None:
    for text in texts:
        event = LiveEvent(f"{text}", "post", json.dumps({"n": str(text)}).encode())
        system.container.stores.streams.append([UUID(person.account["id"])], event)


def numbers(blocks: list[Block]) -> list[str]:
    return [json.loads(block.fields["data"]).get("n", block.name) for block in blocks]


def signing(person: Person) -> dict[str, Any]:
    return {"login": person.handle, "password": "correct horse battery staple"}
