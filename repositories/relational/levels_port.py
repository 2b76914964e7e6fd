"""What has a limit, as it was each hour: connections, bytes, the widest partition. For the forecast of the doctor."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class LevelSample(Struct, frozen=True):
    """`level` names it, and the first role that is there. `most` is its limit at that time, where there is one."""

    level: str
    at: datetime
    value: int
    most: int | None = None


class LevelReads(Protocol):
    @abstractmethod
    def since(self, at: datetime) -> list[LevelSample]:
        """Of this time or later, by level and time."""


class LevelWrites(Protocol):
    @abstractmethod
    def note(self, samples: Sequence[LevelSample], *, forget: datetime) -> None:
        """Keep them, and remove all before `forget`. Of one level and time the first stays."""
