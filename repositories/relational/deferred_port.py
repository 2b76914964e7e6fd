"""Deferred work: what waits until the cache's Redis is back. It outlives the process that deferred it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class Deferred(Struct, frozen=True):
    """One piece of work. `token` is new each time the work of this `key` is deferred; `at` is when."""

    key: bytes
    token: UUID
    body: bytes
    at: datetime


class DeferredReads(Protocol):
    @abstractmethod
    def first(self, *, limit: int) -> list[Deferred]:
        """The oldest pieces of work, oldest first."""


class DeferredWrites(Protocol):
    @abstractmethod
    def put(self, work: Mapping[bytes, bytes], *, at: datetime) -> None:
        """Store bodies by their keys. A key that is deferred already gets the new body, token and time."""

    @abstractmethod
    def done(self, tokens: Sequence[UUID]) -> None:
        """Remove finished work. Work that was deferred again meanwhile has another token and stays."""
