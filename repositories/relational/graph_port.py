"""The follow graph: who follows whom, and who has blocked whom. Errors as in `port`."""

from abc import abstractmethod
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records import Edge, Follow, Forgotten, GraphCounts, Relation


class GraphReads(Protocol):
    @abstractmethod
    def following(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Whom the account follows, newest follow first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def followers(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Who follows the account, in the order of `following`."""

    @abstractmethod
    def blocked(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Whom the account has blocked, newest block first, in the order of `following`."""

    @abstractmethod
    def followees(self, account_id: UUID) -> dict[UUID, bool]:
        """Everyone the account follows, with whether the follow's back-fill is done."""

    @abstractmethod
    def relations(self, viewer: UUID, others: Collection[UUID]) -> dict[UUID, Relation]:
        """The relation of `viewer` to each of `others`, in one round trip. Every one of `others` has an entry."""

    @abstractmethod
    def counts(self, ids: Collection[UUID]) -> dict[UUID, GraphCounts]:
        """Followers and followees of each account, in one round trip. Every one of `ids` has an entry."""


class GraphWrites(Protocol):
    @abstractmethod
    def lock(self, one: UUID, other: UUID) -> Relation:
        """The relation of `one` to `other`, locked until the transaction ends.

        Locks both accounts in id order, so two commands over the same pair never deadlock.
        Raises `NotFound` when either account is missing.
        """

    @abstractmethod
    def begin_lock(self, one: UUID, other: UUID) -> Callable[[], Relation]:
        """As `lock`, in one round trip with what the transaction asks for next. Call what is returned after that: the
        relation is known then, and `NotFound` is raised then. What the next call does, it does with the locks.
        """

    @abstractmethod
    def begin_keep(self, ids: Collection[UUID]) -> Callable[[], set[UUID]]:
        """Those of the accounts that are there. They are not deleted until the transaction ends; nobody else waits. In
        one round trip with what is asked for next, as `begin_lock`.
        """

    @abstractmethod
    def follow(self, follow: Follow) -> bool:
        """Add the edge, with its back-fill pending, and count it. Returns whether it was new. Idempotent."""

    @abstractmethod
    def unfollow(self, follower: UUID, followee: UUID) -> datetime | None:
        """Remove the edge and uncount it. Returns when it was made, or None. Idempotent."""

    @abstractmethod
    def filled(self, follow: Follow) -> bool:
        """Mark the back-fill of this edge as done. False when the edge is gone or has another `since`."""

    @abstractmethod
    def block(self, blocker: UUID, blocked: UUID, at: datetime) -> bool: ...

    @abstractmethod
    def unblock(self, blocker: UUID, blocked: UUID) -> bool: ...

    @abstractmethod
    def forget(self, account_id: UUID, *, limit: int) -> Forgotten:
        """Remove the follows and blocks between a deleted account and `limit` others, and uncount them there."""
