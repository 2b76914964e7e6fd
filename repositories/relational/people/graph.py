"""Follows and blocks.

A change of an edge first locks the counters of both accounts, in id order. So commands over one pair are serialized
without deadlock, and the counters are exact.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from itertools import starmap
from uuid import UUID

from sqlalchemy import (
    Integer,
    Select,
    bindparam,
    case,
    delete,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from repositories.errors import NotFound
from repositories.records.graph import Edge, Follow, Forgotten, GraphCounts, Relation
from repositories.relational.feed_revision import REVISE
from repositories.relational.graph_port import GraphReads, GraphWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.functions import among
from repositories.relational.schema.tables import account_counters, accounts, blocks, follows
from repositories.relational.statement_runner import AnyRow, Runner, RunnerBacked
from repositories.relational.upserts import insert
from repositories.relational.work import Work

_Page = Select[UUID, datetime]


def _listing(
    of: ColumnElement[UUID], other: ColumnElement[UUID], since: ColumnElement[datetime] = follows.c.since
) -> tuple[_Page, _Page]:
    """The statements for the first page and for the later pages."""
    first = select(other, since).where(of == bindparam("id")).order_by(since.desc(), other.desc()).limit(LIMIT)
    end = tuple_(bindparam("before_since", type_=TIME), bindparam("before_id", type_=ID))
    return first, first.where(tuple_(since, other) < end)


def _kind(kind: int, other: ColumnElement[UUID], own: ColumnElement[UUID]) -> Select[int, UUID]:
    return select(literal_column(str(kind), Integer), other).where(
        own == bindparam("viewer", type_=ID), among(other, bindparam("others", type_=IDS))
    )


_FOLLOWING = _listing(follows.c.follower, follows.c.followee)
_FOLLOWERS = _listing(follows.c.followee, follows.c.follower)
_BLOCKED = _listing(blocks.c.blocker, blocks.c.blocked, blocks.c.at)
_FOLLOWEES = select(follows.c.followee, follows.c.filled).where(follows.c.follower == bindparam("id"))
_KINDS = (
    _kind(0, follows.c.followee, follows.c.follower),
    _kind(1, follows.c.follower, follows.c.followee),
    _kind(2, blocks.c.blocked, blocks.c.blocker),
    _kind(3, blocks.c.blocker, blocks.c.blocked),
    select(literal_column("4", Integer), accounts.c.id).where(
        among(accounts.c.id, bindparam("others", type_=IDS)), accounts.c.deleted_at.is_not(None)
    ),
)
_RELATIONS = union_all(*_KINDS)
_COUNTS = select(account_counters.c.account_id, account_counters.c.followers, account_counters.c.following).where(
    among(account_counters.c.account_id, bindparam("ids", type_=IDS))
)
_ROWS = (
    select(account_counters.c.account_id)
    .where(among(account_counters.c.account_id, bindparam("ids", type_=IDS)))
    .order_by(account_counters.c.account_id)
)
# Also returns which accounts of the pair exist.
_EXISTS = 5
_RELATIONS_OF_PAIR = union_all(
    *_KINDS,
    select(literal_column(str(_EXISTS), Integer), account_counters.c.account_id).where(
        among(account_counters.c.account_id, bindparam("ids", type_=IDS))
    ),
)
# FOR NO KEY UPDATE: these locks exclude one another, but not `_KEEP`, which only prevents the rows' deletion.
LOCK_COUNTERS = _ROWS.with_for_update(key_share=True)
_KEEP = _ROWS.with_for_update(read=True, key_share=True)
_FOLLOW = insert(follows).on_conflict_do_nothing().returning(true())
_UNFOLLOW = (
    delete(follows)
    .where(follows.c.follower == bindparam("follower"), follows.c.followee == bindparam("followee"))
    .returning(follows.c.since)
)
_is_follower = account_counters.c.account_id == bindparam("its_follower")
_COUNT = (
    update(account_counters)
    .where(account_counters.c.account_id.in_((bindparam("its_follower"), bindparam("its_followee"))))
    .values(
        followers=account_counters.c.followers
        + case((account_counters.c.account_id == bindparam("its_followee"), bindparam("step")), else_=0),
        following=account_counters.c.following + case((_is_follower, bindparam("step")), else_=0),
        revision=account_counters.c.revision + case((_is_follower, 1), else_=0),
    )
)
_FILLED = (
    update(follows)
    .where(
        follows.c.follower == bindparam("its_follower"),
        follows.c.followee == bindparam("its_followee"),
        follows.c.since == bindparam("its_since"),
    )
    .values(filled=true())
)
_BLOCK = insert(blocks).on_conflict_do_nothing().returning(true())
_others = bindparam("others", type_=IDS)
_deleted = bindparam("gone", type_=ID)
_OTHERS_OF_DELETED = union_all(
    *(
        select(other).where(own == _deleted)
        for own, other in (
            (follows.c.follower, follows.c.followee),
            (follows.c.followee, follows.c.follower),
            (blocks.c.blocker, blocks.c.blocked),
            (blocks.c.blocked, blocks.c.blocker),
        )
    )
).limit(LIMIT)
_FORGET_FOLLOWS = tuple(
    delete(follows).where(own == _deleted, among(other, _others)).returning(*follows.c["follower", "followee", "since"])
    for own, other in ((follows.c.follower, follows.c.followee), (follows.c.followee, follows.c.follower))
)
_FORGET_BLOCKS = tuple(
    delete(blocks).where(own == _deleted, among(other, _others))
    for own, other in ((blocks.c.blocker, blocks.c.blocked), (blocks.c.blocked, blocks.c.blocker))
)
_DECREMENT = tuple(
    update(account_counters).where(among(account_counters.c.account_id, _others)).values({counter.name: counter - 1})
    for counter in (account_counters.c.followers, account_counters.c.following)
)
_UNBLOCK = delete(blocks).where(blocks.c.blocker == bindparam("blocker"), blocks.c.blocked == bindparam("blocked"))


def _relations(runner: Runner, viewer: UUID, others: Collection[UUID]) -> dict[UUID, Relation]:
    ids = list(dict.fromkeys(others))
    return _read(runner.rows(_RELATIONS, {"viewer": viewer, "others": ids}) if ids else (), ids)


def _read(rows: Iterable[AnyRow], others: Iterable[UUID]) -> dict[UUID, Relation]:
    found: dict[UUID, list[bool]] = {other: [False] * 5 for other in others}
    for kind, other in rows:
        found[other][kind] = True
    return {other: Relation(*flags) for other, flags in found.items()}


class SqlGraphReads(RunnerBacked, GraphReads):
    def following(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        return self._page(_FOLLOWING, account_id, before, limit)

    def followers(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        return self._page(_FOLLOWERS, account_id, before, limit)

    def blocked(self, account_id: UUID, *, before: Edge | None, limit: int) -> list[Edge]:
        return self._page(_BLOCKED, account_id, before, limit)

    def followees(self, account_id: UUID) -> dict[UUID, bool]:
        return {row.followee: row.filled for row in self._runner.rows(_FOLLOWEES, {"id": account_id})}

    def relations(self, viewer: UUID, others: Collection[UUID]) -> dict[UUID, Relation]:
        return _relations(self._runner, viewer, others)

    def counts(self, ids: Collection[UUID]) -> dict[UUID, GraphCounts]:
        counts = dict.fromkeys(ids, GraphCounts())
        for one, followers, following in self._runner.rows(_COUNTS, {"ids": list(counts)}) if counts else ():
            counts[one] = GraphCounts(followers, following)
        return counts

    def _page(self, pages: tuple[_Page, _Page], account_id: UUID, before: Edge | None, limit: int) -> list[Edge]:
        values = {"id": account_id, "limit": limit}
        if before is None:
            return list(starmap(Edge, self._runner.rows(pages[0], values)))
        end = {"before_since": before.since, "before_id": before.account_id}
        return list(starmap(Edge, self._runner.rows(pages[1], values | end)))


class SqlGraphWrites(GraphWrites):
    def __init__(self, runner: Work) -> None:
        self._runner = runner
        self._locked: set[frozenset[UUID]] = set()

    def lock(self, one: UUID, other: UUID) -> Relation:
        return self.begin_lock(one, other)()

    def begin_lock(self, one: UUID, other: UUID) -> Callable[[], Relation]:
        pair = frozenset((one, other))
        if pair not in self._locked:
            self._runner.queue(LOCK_COUNTERS, {"ids": list(pair)})
        # The second statement starts when the first has its locks, so it sees what was committed by then.
        begun = self._runner.begin(_RELATIONS_OF_PAIR, {"viewer": one, "others": [other], "ids": list(pair)})

        def related() -> Relation:
            rows = begun.rows()
            found = [row for row in rows if row[0] != _EXISTS]
            if len(rows) - len(found) < len(pair):
                raise NotFound
            self._locked.add(pair)
            return _read(found, [other])[other]

        return related

    def begin_keep(self, ids: Collection[UUID]) -> Callable[[], set[UUID]]:
        begun = self._runner.begin(_KEEP, {"ids": list(ids)})
        return lambda: {there for (there,) in begun.rows()}

    def follow(self, follow: Follow) -> bool:
        self._lock_pair(follow.follower, follow.followee)
        edge = {"follower": follow.follower, "followee": follow.followee}
        new = bool(self._runner.rows(_FOLLOW, {**edge, "since": follow.since, "filled": False}))
        if new:
            self._count(follow.follower, follow.followee, 1)
        return new

    def unfollow(self, follower: UUID, followee: UUID) -> datetime | None:
        self._lock_pair(follower, followee)
        gone = self._runner.rows(_UNFOLLOW, {"follower": follower, "followee": followee})
        if not gone:
            return None
        self._count(follower, followee, -1)
        since: datetime = gone[0].since
        return since

    def filled(self, follow: Follow) -> bool:
        edge = {"its_follower": follow.follower, "its_followee": follow.followee, "its_since": follow.since}
        filled = bool(self._runner.change(_FILLED, edge))
        self._runner.change(REVISE, {"its_account": follow.follower})
        return filled

    def block(self, blocker: UUID, blocked: UUID, at: datetime) -> bool:
        self._lock_pair(blocker, blocked)
        return bool(self._runner.rows(_BLOCK, {"blocker": blocker, "blocked": blocked, "at": at}))

    def unblock(self, blocker: UUID, blocked: UUID) -> bool:
        self._lock_pair(blocker, blocked)
        return bool(self._runner.change(_UNBLOCK, {"blocker": blocker, "blocked": blocked}))

    def forget(self, account_id: UUID, *, limit: int) -> Forgotten:
        found = [other for (other,) in self._runner.rows(_OTHERS_OF_DELETED, {"gone": account_id, "limit": limit})]
        if not found:
            return Forgotten([], more=False)
        values = {"gone": account_id, "others": list(set(found))}
        self._runner.rows(LOCK_COUNTERS, {"ids": values["others"]})
        followed, following = ([Follow(*row) for row in self._runner.rows(each, values)] for each in _FORGET_FOLLOWS)
        self._runner.change(_DECREMENT[0], {"others": [edge.followee for edge in followed]})
        self._runner.change(_DECREMENT[1], {"others": [edge.follower for edge in following]})
        for each in _FORGET_BLOCKS:
            self._runner.change(each, values)
        return Forgotten(followed + following, more=len(found) == limit)

    def _lock_pair(self, one: UUID, other: UUID) -> None:
        pair = frozenset((one, other))
        if pair in self._locked:
            return
        if len(self._runner.rows(LOCK_COUNTERS, {"ids": list(pair)})) < len(pair):
            raise NotFound
        self._locked.add(pair)

    def _count(self, follower: UUID, followee: UUID, step: int) -> None:
        self._runner.change(_COUNT, {"its_follower": follower, "its_followee": followee, "step": step})
