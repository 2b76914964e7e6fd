"""What can be cached: a kind of things, where it is loaded from, how long it is kept."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from repositories.hot import Value

K = TypeVar("K")


@dataclass(frozen=True, eq=False)
class Kind(Generic[K]):
    """Things of one kind, told apart by an id whose `str` is its name: a UUID, a handle, a page.

    `load` gives what the source has of some ids, in one round trip, and leaves out what it has not. It must not
    read through a cache. `schema` changes with the shape of the bodies, so that a new release does not read old ones.
    Seconds: a value is renewed after `fresh`, served for at most `stale` more while somebody renews it or the
    source is away; that a thing is absent is remembered for `absent`, 0 for not at all.
    """

    name: str
    schema: str
    load: Callable[[Collection[K]], Mapping[K, Value]]
    fresh: float
    stale: float = 10.0
    absent: float = 0.0

    def key(self, about: K) -> str:
        return f"{self.name}@{self.schema}:{about}"


def schema_of(record: type) -> str:
    """A short name for the shape of a record type: its fields and theirs, by name and type."""
    shape: Any = msgspec.json.schema(record)
    return hashlib.sha256(msgspec.json.encode(shape, order="deterministic")).hexdigest()[:8]
