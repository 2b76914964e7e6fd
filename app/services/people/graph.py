"""Follows and blocks.

Each command locks both accounts, so a follow and a block of the same pair cannot both succeed. Its event is written in
the same transaction. Cached counters are dropped after the commit.
"""

from collections.abc import Mapping
from uuid import UUID

from app.errors import Forbidden, RuleBroken
from app.events import Blocked, Followed, Unfollowed
from app.services.commands.kit import Kit
from app.services.pages.invalidation import Invalidation
from repositories.records.graph import Follow, Relation
from repositories.relational import RelationalStore, Transaction


class Graph:
    def __init__(self, relational: RelationalStore, invalidation: Invalidation, kit: Kit) -> None:
        self._relational = relational
        self._invalidation = invalidation
        self._clock = kit.clock
        self._retry = kit.retry
        self._pack = kit.emitter

    def follow(self, follower: UUID, followee: UUID) -> None:
        """Idempotent. Raises `Forbidden` with code `blocked`, `RuleBroken` for oneself."""
        refuse_oneself(follower, followee)
        edge = Follow(follower, followee, self._clock())
        with self._invalidation.after(self._invalidation.follow(follower, followee)):
            self._retry(lambda: self._follow(edge))

    def unfollow(self, follower: UUID, followee: UUID) -> None:
        """Idempotent."""
        refuse_oneself(follower, followee)
        with self._invalidation.after(self._invalidation.follow(follower, followee)):
            self._retry(lambda: self._unfollow(follower, followee))

    def block(self, blocker: UUID, blocked: UUID) -> None:
        """Idempotent. Ends both follows."""
        refuse_oneself(blocker, blocked)
        with self._invalidation.after(self._invalidation.block(blocker, blocked)):
            self._retry(lambda: self._block(blocker, blocked))

    def unblock(self, blocker: UUID, blocked: UUID) -> None:
        """Idempotent. Ended follows stay ended."""
        refuse_oneself(blocker, blocked)
        with self._invalidation.after(self._invalidation.block(blocker, blocked)):
            self._retry(lambda: self._unblock(blocker, blocked))

    def _follow(self, edge: Follow) -> None:
        with self._relational.transaction() as tx:
            refuse_blocked(tx, edge.follower, edge.followee)
            if tx.graph.follow(edge):
                tx.emit(self._pack(Followed(edge.follower, edge.followee, edge.since)))

    def _unfollow(self, follower: UUID, followee: UUID) -> None:
        with self._relational.transaction() as tx:
            tx.graph.lock(follower, followee)
            self._end_follow(tx, follower, followee)

    def _block(self, blocker: UUID, blocked: UUID) -> None:
        with self._relational.transaction() as tx:
            tx.graph.lock(blocker, blocked)
            self._end_follow(tx, blocker, blocked)
            self._end_follow(tx, blocked, blocker)
            if tx.graph.block(blocker, blocked, self._clock()):
                tx.emit(self._pack(Blocked(blocker, blocked)))

    def _unblock(self, blocker: UUID, blocked: UUID) -> None:
        with self._relational.transaction() as tx:
            tx.graph.unblock(blocker, blocked)

    def _end_follow(self, tx: Transaction, follower: UUID, followee: UUID) -> None:
        since = tx.graph.unfollow(follower, followee)
        if since:
            tx.emit(self._pack(Unfollowed(follower, followee, since)))


def refuse_blocked(tx: Transaction, one: UUID, other: UUID) -> None:
    """Raises `Forbidden` when either has blocked the other. Locks the pair until the transaction ends."""
    refuse_any_blocked({other: tx.graph.lock(one, other)})


def refuse_any_blocked(relations: Mapping[UUID, Relation]) -> None:
    """Raises `Forbidden` if any of the relations has a block in either direction."""
    if any(relation.blocking or relation.blocked_by for relation in relations.values()):
        raise Forbidden("one of you has blocked the other", code="blocked")


def refuse_oneself(one: UUID, other: UUID) -> None:
    """Raises `RuleBroken` for one's own account."""
    if one == other:
        raise RuleBroken("this cannot be done with one's own account", code="own_account")
