"""The cache as a place of a move. Nothing is copied: the new one begins empty, and the old one gives nothing away and
takes nothing any more.
"""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from repositories.dump_port import Load, RecordKind
from repositories.moving.places import Changed, FrozenPlace, Key, OfKeys, StorePlace

# By then every process has followed. One that had not may have dropped in the old place what others have loaded before.
FOLLOWED_SECONDS = 1.0


class CachePlace(StorePlace):
    kinds: Sequence[RecordKind] = ()

    def key(self, kind: str, record: Any) -> Key:
        raise AssertionError(kind, record)

    def is_empty(self) -> bool:
        """What is there is of no worth."""
        return True

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        yield FrozenPlace(lambda _kind: iter(()), lambda _kind, _keys: [], {})

    def forget(self, moment: FrozenPlace) -> None:
        """Nothing was noted."""

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield lambda _kind, _records: None

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        """Nothing has changed."""

    def tidy(self, move: str = "") -> None:
        mark = self.mark()
        if mark and mark.state == "open" and mark.epoch and move in ("", mark.move):
            time.sleep(FOLLOWED_SECONDS)
            self._void()

    @abstractmethod
    def _void(self) -> None:
        """As `Cache.void`."""
