"""Looking into a person's notifications, at a time that tests can rely on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.apps import Person, System
from tests.shop import Clock


class Noon(Clock):
    """No day ends within a test, and no two activities are of one millisecond."""

    step = timedelta(milliseconds=1)

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC).replace(hour=12) - timedelta(days=1)


def inbox(system: System, person: Person, **query: Any) -> Any:
    system.relay.drain()
    return person.get("/notifications", **query)


def handles(item: Any) -> list[str]:
    return [actor["handle"] for actor in item["actors"]]
