"""Kinds of cached values that record what is loaded, and invalidations of them."""

from collections.abc import Callable, Collection
from typing import Any

from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kind
from repositories.hot import Cache, Value


def invalidation(cache: Cache) -> Invalidation:
    """An invalidation for keys that the test names."""
    unused: Any = None
    return Invalidation(cache, unused, unused, unused, unused)


class RecordedKinds:
    """Three kinds of parts, some of which exist. `asked` records the loads."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[str]]] = []
        self.post, self.author, self.stats = (
            Kind(name, "1", self._loader(name), fresh=60.0) for name in ("post", "author", "stats")
        )

    def _loader(self, name: str) -> Callable[[Collection[str]], dict[str, Value]]:
        def load(ids: Collection[str]) -> dict[str, Value]:
            self.asked.append((name, set(ids)))
            return {i: Value(f"{name} {i}".encode(), version=len(i), etag=f'"{i}"') for i in ids if "gone" not in i}

        return load
