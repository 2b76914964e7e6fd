"""The search role: which posts and products have some words. The service that knows is fed by events, so what it finds
may have changed or gone since; whoever asks reads the truth of each.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

ROLE = "search"
Kind = Literal["post", "product"]


class Found(Struct, frozen=True):
    id: UUID
    kind: Kind


class SearchIndex(Protocol):
    @abstractmethod
    def find(self, query: str, kind: Kind | None, *, before: UUID | None, limit: int) -> Sequence[Found]:
        """What has all these words, newest first, strictly older than `before`. Raises `Unavailable`."""

    @abstractmethod
    def close(self) -> None: ...
