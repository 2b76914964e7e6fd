"""Hourly samples of what has a limit: connections, bytes, the widest partition. The doctor's forecasts use them."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class LevelSample(Struct, frozen=True):
    """`level` names what was measured and the first role at that place. `most` is the limit at that time, if any."""

    level: str
    at: datetime
    value: int
    most: int | None = None


class LevelReads(Protocol):
    @abstractmethod
    def since(self, at: datetime) -> list[LevelSample]:
        """Samples of this time or later, by level and time."""


class LevelWrites(Protocol):
    @abstractmethod
    def note(self, samples: Sequence[LevelSample], *, forget: datetime) -> None:
        """Store samples, and delete all before `forget`. A sample of the same level and time is not replaced."""
