"""The port of the search role: find posts and products by words. The index is fed by events, so a result may be out of
date or deleted; the caller loads each result from the documents.
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
        """Posts or products that contain all words of `query`, newest first, strictly older than `before`; of both
        kinds if `kind` is None. Raises `Unavailable`.
        """

    @abstractmethod
    def close(self) -> None: ...
