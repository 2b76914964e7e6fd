"""A bounded in-process memory of facts that never or hardly ever change."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MOST = 20_000


class Memo(Generic[K, V]):
    """Remembers at most `most` facts, and is emptied when it is full. A caller must check a fact that may have changed.

    Thread-safe, since each step is one dictionary operation.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        return self._of.get(key)

    def note(self, key: K, value: V) -> None:
        if len(self._of) >= self._most:
            self._of = {}
        self._of[key] = value
