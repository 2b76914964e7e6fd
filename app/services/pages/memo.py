"""A bounded memory of facts that never change, one for a process."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MOST = 20_000


class Memo(Generic[K, V]):
    """Of things that hardly change. Whoever relies on one that may have changed checks it. Thread-safe: each step is
    one operation of a dictionary. When it is full it begins anew.
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
