"""Reads a person's notifications, with a clock whose day does not change within a test."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.apps import Person, System
from tests.shop import Clock


class NoonClock(Clock):
    """Starts at noon, so that no day ends within a test; no two activities are in the same millisecond."""

    step = timedelta(milliseconds=1)

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC).replace(hour=12) - timedelta(days=1)


def inbox(system: System, person: Person, **query: Any) -> Any:
    system.relay.drain()
    return person.get("/notifications", **query)


def handles(item: Any) -> list[str]:
    return [actor["handle"] for actor in item["actors"]]
