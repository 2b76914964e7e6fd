"""The follow graph: follows and blocks between accounts. Errors as in `port`."""

from abc import abstractmethod
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records.graph import Edge, Follow, Forgotten, GraphCounts, Relation


class GraphReads(Protocol):
    @abstractmethod
    def following(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Accounts that this one follows, newest follow first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def followers(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Accounts that follow this one, in the order of `following`."""

    @abstractmethod
    def blocked(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        """Accounts that this one has blocked, newest block first, in the order of `following`."""

    @abstractmethod
    def followees(self, account_id: UUID) -> dict[UUID, bool]:
        """All accounts that this one follows, each with whether the follow's back-fill is done."""

    @abstractmethod
    def relations(self, viewer: UUID, others: Collection[UUID]) -> dict[UUID, Relation]:
        """The relation of `viewer` to each of `others`, in one round trip. Each of `others` has an entry."""

    @abstractmethod
    def counts(self, ids: Collection[UUID]) -> dict[UUID, GraphCounts]:
        """The number of followers and followees of each account, in one round trip. Each of `ids` has an entry."""


class GraphWrites(Protocol):
    @abstractmethod
    def lock(self, one: UUID, other: UUID) -> Relation:
        """The relation of `one` to `other`, locked until the transaction ends.

        Locks both accounts in id order, so two commands over the same pair never deadlock.
        Raises `NotFound` when either account is missing.
        """

    @abstractmethod
    def begin_lock(self, one: UUID, other: UUID) -> Callable[[], Relation]:
        """As `lock`, but sent with the transaction's next statement, to save a round trip. That statement runs with
        the locks held. Call the returned function after it to get the relation; only this call raises `NotFound`.
        """

    @abstractmethod
    def begin_keep(self, ids: Collection[UUID]) -> Callable[[], set[UUID]]:
        """The accounts that exist, kept from deletion until the transaction ends; other commands do not wait for it.
        Sent with the next statement, as `begin_lock` is.
        """

    @abstractmethod
    def follow(self, follow: Follow) -> bool:
        """Add the follow, with its back-fill pending, and count it. Returns whether it was new. Idempotent."""

    @abstractmethod
    def unfollow(self, follower: UUID, followee: UUID) -> datetime | None:
        """Remove the follow and decrement the counts. Returns when the follow was made, or None. Idempotent."""

    @abstractmethod
    def filled(self, follow: Follow) -> bool:
        """Mark the back-fill of this follow as done. False when the follow is gone or has another `since`."""

    @abstractmethod
    def block(self, blocker: UUID, blocked: UUID, at: datetime) -> bool: ...

    @abstractmethod
    def unblock(self, blocker: UUID, blocked: UUID) -> bool: ...

    @abstractmethod
    def forget(self, account_id: UUID, *, limit: int) -> Forgotten:
        """Remove the follows and blocks between a deleted account and up to `limit` others; correct their counts."""
