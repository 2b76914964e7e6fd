"""The cache as a place of a move. Nothing is copied: the new place begins empty, and the old one neither returns nor
stores anything any more.
"""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from repositories.dump_port import Load, RecordKind
from repositories.moving.places import Changed, FrozenPlace, Key, OfKeys, StorePlace

# By then every process uses the new place. Until then a process may drop a key in the old place that others have
# already loaded into the new one, so the new one is voided afterwards.
FOLLOWED_SECONDS = 1.0


class CachePlace(StorePlace):
    kinds: Sequence[RecordKind] = ()

    def key(self, kind: str, record: Any) -> Key:
        raise AssertionError(kind, record)

    def is_empty(self) -> bool:
        """Always true: what is stored may be discarded."""
        return True

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        yield FrozenPlace(lambda _kind: iter(()), lambda _kind, _keys: [], {})

    def forget(self, moment: FrozenPlace) -> None:
        """Does nothing: no changes are noted."""

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield lambda _kind, _records: None

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        """Does nothing: no changes are copied."""

    def tidy(self, move: str = "") -> None:
        mark = self.mark()
        if mark and mark.state == "open" and mark.epoch and move in ("", mark.move):
            time.sleep(FOLLOWED_SECONDS)
            self._void()

    @abstractmethod
    def _void(self) -> None:
        """As `Cache.void`."""
