"""Likes, and their number per post."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, bindparam, delete, literal_column, select, true, union_all, update

from repositories.records.graph import Like
from repositories.relational.feed_revision import REVISE
from repositories.relational.port import LikeReads, LikeWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT
from repositories.relational.schema.functions import among
from repositories.relational.schema.tables import follows, likes, post_counters
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert

_LIKED = select(likes.c.post_id).where(
    likes.c.account_id == bindparam("id"), among(likes.c.post_id, bindparam("post_ids", type_=IDS))
)
_LIKED_AND_FOLLOWED = union_all(
    _LIKED.add_columns(literal_column("0", Integer)),
    select(follows.c.followee, literal_column("1", Integer)).where(
        follows.c.follower == bindparam("id"), among(follows.c.followee, bindparam("others", type_=IDS))
    ),
)
_COUNTS = select(post_counters.c.post_id, post_counters.c.likes).where(
    among(post_counters.c.post_id, bindparam("post_ids", type_=IDS))
)
_LOCK = select(post_counters.c.likes).where(post_counters.c.post_id == bindparam("post_id")).with_for_update()
_LIKE = insert(likes).on_conflict_do_nothing().returning(true())
_COUNT = insert(post_counters).on_conflict_do_update(
    index_elements=[post_counters.c.post_id], set_={"likes": post_counters.c.likes + 1}
)
_UNLIKE = (
    delete(likes)
    .where(likes.c.account_id == bindparam("account_id"), likes.c.post_id == bindparam("post_id"))
    .returning(likes.c.at)
)
_UNCOUNT = (
    update(post_counters).where(post_counters.c.post_id == bindparam("its_id")).values(likes=post_counters.c.likes - 1)
)
_OF_ACCOUNT = (
    select(likes.c.account_id, likes.c.post_id, likes.c.at)
    .where(likes.c.account_id == bindparam("id"), likes.c.post_id > bindparam("after", type_=ID))
    .order_by(likes.c.post_id)
    .limit(LIMIT)
)
_LOWEST = UUID(int=0)
_posts = bindparam("post_ids", type_=IDS)
_LOCK_EACH = (
    select(post_counters.c.post_id)
    .where(among(post_counters.c.post_id, _posts))
    .order_by(post_counters.c.post_id)
    .with_for_update()
)
_UNLIKE_EACH = (
    delete(likes)
    .where(likes.c.account_id == bindparam("account_id"), among(likes.c.post_id, _posts))
    .returning(likes.c.account_id, likes.c.post_id, likes.c.at)
)
_UNCOUNT_EACH = (
    update(post_counters).where(among(post_counters.c.post_id, _posts)).values(likes=post_counters.c.likes - 1)
)
_FORGET_LIKES = delete(likes).where(likes.c.post_id == bindparam("post_id"))
_FORGET_COUNT = delete(post_counters).where(post_counters.c.post_id == bindparam("post_id"))


class SqlLikeReads(RunnerBacked, LikeReads):
    def liked(self, account_id: UUID, post_ids: Collection[UUID]) -> set[UUID]:
        if not post_ids:
            return set()
        rows = self._runner.rows(_LIKED, {"id": account_id, "post_ids": list(post_ids)})
        return {post_id for (post_id,) in rows}

    def beside_follows(
        self, account_id: UUID, post_ids: Collection[UUID], others: Collection[UUID]
    ) -> tuple[set[UUID], set[UUID]]:
        values = {"id": account_id, "post_ids": list(post_ids), "others": list(others)}
        found: tuple[set[UUID], set[UUID]] = set(), set()
        for one, kind in self._runner.rows(_LIKED_AND_FOLLOWED, values) if post_ids or others else ():
            found[kind].add(one)
        return found

    def of_account(self, account_id: UUID, *, after: UUID | None, limit: int) -> list[Like]:
        values = {"id": account_id, "after": after or _LOWEST, "limit": limit}
        return [Like(*row) for row in self._runner.rows(_OF_ACCOUNT, values)]

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        counts = dict.fromkeys(post_ids, 0)
        for post_id, number in self._runner.rows(_COUNTS, {"post_ids": list(counts)}) if counts else ():
            counts[post_id] = number
        return counts


class SqlLikeWrites(RunnerBacked, LikeWrites):
    def like(self, like: Like) -> bool:
        row = {"account_id": like.account_id, "post_id": like.post_id, "at": like.at}
        new = bool(self._runner.rows(_LIKE, row))
        if new:
            self._runner.change(_COUNT, {"post_id": like.post_id, "likes": 1})
            self._runner.change(REVISE, {"its_account": like.account_id})
        return new

    def unlike(self, account_id: UUID, post_id: UUID) -> datetime | None:
        if not self._lock_counter(post_id):
            return None
        gone = self._runner.rows(_UNLIKE, {"account_id": account_id, "post_id": post_id})
        if not gone:
            return None
        self._runner.change(_UNCOUNT, {"its_id": post_id})
        self._runner.change(REVISE, {"its_account": account_id})
        at: datetime = gone[0].at
        return at

    def forget_post(self, post_id: UUID) -> None:
        if self._lock_counter(post_id):
            self._runner.change(_FORGET_LIKES, {"post_id": post_id})
            self._runner.change(_FORGET_COUNT, {"post_id": post_id})

    def forget(self, account_id: UUID, *, limit: int) -> list[Like]:
        values = {"id": account_id, "after": _LOWEST, "limit": limit}
        found = [row.post_id for row in self._runner.rows(_OF_ACCOUNT, values)]
        if not found:
            return []
        self._runner.rows(_LOCK_EACH, {"post_ids": found})
        gone = [Like(*row) for row in self._runner.rows(_UNLIKE_EACH, {"account_id": account_id, "post_ids": found})]
        self._runner.change(_UNCOUNT_EACH, {"post_ids": [like.post_id for like in gone]})
        return gone

    def _lock_counter(self, post_id: UUID) -> bool:
        """Lock the counter before removing likes, or two removals could deadlock. False without a counter: no likes."""
        return bool(self._runner.rows(_LOCK, {"post_id": post_id}))
