"""Recounts followers, followees and likes."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from repositories.records.graph import GraphCounts
from repositories.relational.counters_port import CounterReads, CounterWrites
from repositories.relational.schema.columns import ID, IDS
from repositories.relational.schema.functions import among
from repositories.relational.schema.tables import account_counters, accounts, follows, likes, post_counters
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert

_IDS = bindparam("ids", type_=IDS)
_ZERO = literal_column("0", Integer)
_id = bindparam("its_id", type_=ID)


def _edges(end: ColumnElement[UUID], account: ColumnElement[UUID]) -> ColumnElement[Any]:
    return select(func.count()).select_from(follows).where(end == account).scalar_subquery()


_ACCOUNTS = (
    select(
        accounts.c.id,
        account_counters.c.followers,
        account_counters.c.following,
        _edges(follows.c.followee, accounts.c.id).label("true_followers"),
        _edges(follows.c.follower, accounts.c.id).label("true_following"),
    )
    .outerjoin(account_counters, account_counters.c.account_id == accounts.c.id)
    .where(among(accounts.c.id, _IDS))
)
_POSTS = union_all(
    select(post_counters.c.post_id, post_counters.c.likes, _ZERO).where(among(post_counters.c.post_id, _IDS)),
    select(likes.c.post_id, _ZERO, func.count()).where(among(likes.c.post_id, _IDS)).group_by(likes.c.post_id),
)
_MAKE_ACCOUNT = insert(account_counters).on_conflict_do_nothing()
_LOCK_ACCOUNT = select(account_counters.c.account_id).where(account_counters.c.account_id == _id).with_for_update()
_COUNT_ACCOUNT = (
    update(account_counters)
    .where(account_counters.c.account_id == _id)
    .values(followers=_edges(follows.c.followee, _id), following=_edges(follows.c.follower, _id))
)
# A post without likes needs no counter.
_MAKE_POST = (
    insert(post_counters)
    .from_select(["post_id", "likes"], select(_id, _ZERO).where(exists().where(likes.c.post_id == _id)))
    .on_conflict_do_nothing()
)
_LOCK_POST = select(post_counters.c.post_id).where(post_counters.c.post_id == _id).with_for_update()
_its_likes = select(func.count()).select_from(likes).where(likes.c.post_id == _id).scalar_subquery()
_COUNT_POST = update(post_counters).where(post_counters.c.post_id == _id).values(likes=_its_likes)


class SqlCounterReads(RunnerBacked, CounterReads):
    def miscounted_accounts(self, ids: Collection[UUID]) -> dict[UUID, tuple[GraphCounts | None, GraphCounts]]:
        wrong: dict[UUID, tuple[GraphCounts | None, GraphCounts]] = {}
        for one, followers, following, *truth in self._runner.rows(_ACCOUNTS, {"ids": list(ids)}):
            kept, true = None if followers is None else GraphCounts(followers, following), GraphCounts(*truth)
            if kept != true:
                wrong[one] = kept, true
        return wrong

    def miscounted_posts(self, ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
        counts: dict[UUID, tuple[int, int]] = {}
        for post_id, kept, true in self._runner.rows(_POSTS, {"ids": list(ids)}):
            former = counts.get(post_id, (0, 0))
            counts[post_id] = former[0] + kept, former[1] + true
        return {post_id: (kept, true) for post_id, (kept, true) in counts.items() if kept != true}


class SqlCounterWrites(RunnerBacked, CounterWrites):
    """Locks the row in one statement and counts in the next, so the count sees what the last lock holder committed."""

    def recount_account(self, account_id: UUID) -> None:
        self._runner.change(_MAKE_ACCOUNT, {"account_id": account_id, "followers": 0, "following": 0})
        self._count(account_id, _LOCK_ACCOUNT, _COUNT_ACCOUNT)

    def recount_post(self, post_id: UUID) -> None:
        self._runner.change(_MAKE_POST, {"its_id": post_id})
        self._count(post_id, _LOCK_POST, _COUNT_POST)

    def _count(self, one: UUID, lock: Any, count: Any) -> None:
        self._runner.rows(lock, {"its_id": one})
        self._runner.change(count, {"its_id": one})
