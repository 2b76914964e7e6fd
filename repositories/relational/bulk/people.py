"""Bulk load of accounts, follows and likes: rows go into a temporary table, then by a few statements into the tables.

Rows that exist are deleted from the temporary table first. The others are inserted and counted. If the counters show
that none can exist yet, which is the usual case, follows and likes go straight into their tables, and are counted here.
Follows cannot change meanwhile, because their accounts' counters are locked. A concurrent like of the same pair raises
`Contention`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Executable,
    MetaData,
    Table,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    union_all,
    update,
)

from repositories.batched import batched
from repositories.errors import Invalid, NotFound
from repositories.records.graph import Follow, Like
from repositories.records.people import Account, Login
from repositories.relational.bulk import Rows
from repositories.relational.bulk.money import MoneyLoader
from repositories.relational.people.accounts import account_row, login_row
from repositories.relational.people.graph import LOCK_COUNTERS
from repositories.relational.port import BulkWrites
from repositories.relational.schema.columns import ID, IDS, TIME
from repositories.relational.schema.feeds_tables import constant, feed_activity
from repositories.relational.schema.functions import among
from repositories.relational.schema.tables import (
    account_counters,
    accounts,
    follows,
    likes,
    logins,
    post_counters,
    stock,
)
from repositories.relational.upserts import insert

# Rows per statement, to bound its duration.
_SLICE = 5_000

_temporary = MetaData()


def _loaded(name: str, *columns: Column[Any]) -> Table:
    alike = (Column(column.name, column.type) for column in columns)
    return Table(f"loaded_{name}", _temporary, *alike, prefixes=["TEMPORARY"])


def _names(table: Table) -> list[str]:
    return [column.name for column in table.c]


_accounts = _loaded("accounts", *accounts.c, *(column for column in logins.c if column.name != "account_id"))
_follows = _loaded("follows", follows.c.follower, follows.c.followee, follows.c.since)
_likes = _loaded("likes", *likes.c)
_stock = _loaded("stock", *stock.c)
_counts = _loaded("counts", Column("id", ID), Column("followers", BigInteger), Column("following", BigInteger))
_EMPTY = {table: delete(table) for table in (_accounts, _follows, _likes, _stock, _counts)}

_DROP_KNOWN_ACCOUNTS = delete(_accounts).where(exists().where(accounts.c.id == _accounts.c.id))
_ADD_ACCOUNTS = insert(accounts).from_select(
    _names(accounts), select(*(_accounts.c[name] for name in _names(accounts)))
)
_ADD_LOGINS = insert(logins).from_select(
    _names(logins),
    select(
        _accounts.c.id, _accounts.c.email, _accounts.c.email_key, _accounts.c.password_hash, _accounts.c.verified_at
    ),
)
_ADD_COUNTERS = insert(account_counters).from_select(
    ["account_id", "followers", "following"], select(_accounts.c.id, literal_column("0"), literal_column("0"))
)
_ADD_FEED_ACTIVITY = insert(feed_activity).from_select(
    ["account_id", "state", "generation", "seen_at"],
    select(_accounts.c.id, constant("awake"), literal_column("0"), bindparam("seen_at", type_=TIME)),
)

_DROP_KNOWN_FOLLOWS = delete(_follows).where(
    exists().where(follows.c.follower == _follows.c.follower, follows.c.followee == _follows.c.followee)
)
_ADD_FOLLOWS = insert(follows).from_select(_names(follows), select(*_follows.c, true()))
_ends = union_all(
    select(_follows.c.followee.label("id"), literal_column("1").label("one"), literal_column("0").label("other")),
    select(_follows.c.follower, literal_column("0"), literal_column("1")),
).subquery()
_sums = (
    select(_ends.c.id, func.sum(_ends.c.one).label("followers"), func.sum(_ends.c.other).label("following"))
    .group_by(_ends.c.id)
    .subquery()
)
_COUNT_FOLLOWS, _ADD_COUNTS = (
    update(account_counters)
    .where(account_counters.c.account_id == by.id)
    .values(
        followers=account_counters.c.followers + by.followers,
        following=account_counters.c.following + by.following,
    )
    for by in (_sums.c, _counts.c)
)
_IDS = bindparam("ids", type_=IDS)
# Whether rows may exist, by counting counters: their key tells the planner how many rows to expect. A plan for EXISTS
# reads the whole table when the answer is no.
_FOLLOWING = select(func.count()).where(among(account_counters.c.account_id, _IDS), account_counters.c.following > 0)

_DROP_KNOWN_LIKES = delete(_likes).where(
    exists().where(likes.c.account_id == _likes.c.account_id, likes.c.post_id == _likes.c.post_id)
)
_LIKED = select(func.count()).where(among(post_counters.c.post_id, _IDS))
_ADD_LIKES = insert(likes).from_select(_names(likes), select(*_likes.c))
# SQLite's grammar needs a WHERE before ON CONFLICT, or it reads ON as a join's.
_count_likes = insert(post_counters).from_select(
    ["post_id", "likes"],
    select(_likes.c.post_id, func.count()).where(true()).group_by(_likes.c.post_id).order_by(_likes.c.post_id),
)
_COUNT_LIKES = _count_likes.on_conflict_do_update(
    index_elements=[post_counters.c.post_id],
    set_={"likes": post_counters.c.likes + _count_likes.excluded.likes},
)
_ADD_STOCK = (
    insert(stock)
    .from_select(_names(stock), select(*_stock.c).where(true()).order_by(_stock.c.product_id))
    .on_conflict_do_nothing()
    .returning(stock.c.product_id)
)


class SqlBulk(MoneyLoader, BulkWrites):
    """`load` is the engine's bulk insert, such as COPY."""

    def accounts(self, rows: Sequence[tuple[Account, Login]], *, seen_at: datetime) -> None:
        unique = {account.id: login_row(login) | account_row(account) for account, login in reversed(rows)}
        for _ in self._slices(_accounts, [unique[one] for one in sorted(unique)]):
            for statement in (_DROP_KNOWN_ACCOUNTS, _ADD_ACCOUNTS, _ADD_LOGINS, _ADD_COUNTERS):
                self._work.change(statement, {})
            self._work.change(_ADD_FEED_ACTIVITY, {"seen_at": seen_at})

    def follows(self, rows: Sequence[Follow]) -> None:
        unique = {one.follower.int << 128 | one.followee.int: one for one in reversed(rows)}
        edges = [unique[key] for key in sorted(unique)]
        # By their integers: UUIDs are hashed and compared by Python code.
        ids = {one.followee.int: one.followee for one in edges} | {one.follower.int: one.follower for one in edges}
        followers, following = (
            Counter([one.followee.int for one in edges]),
            Counter([one.follower.int for one in edges]),
        )
        self._lock_counters(ids.values())
        if self._any(_FOLLOWING, [ids[number] for number in following]):
            loaded = [{"follower": one.follower, "followee": one.followee, "since": one.since} for one in edges]
            for _ in self._slices(_follows, loaded):
                for statement in (_DROP_KNOWN_FOLLOWS, _ADD_FOLLOWS, _COUNT_FOLLOWS):
                    self._work.change(statement, {})
            return
        self._put(
            follows,
            [{"follower": one.follower, "followee": one.followee, "since": one.since, "filled": True} for one in edges],
        )
        counts = [{"id": ids[n], "followers": followers[n], "following": following[n]} for n in sorted(ids)]
        for _ in self._slices(_counts, counts):
            self._work.change(_ADD_COUNTS, {})

    def likes(self, rows: Sequence[Like]) -> None:
        unique = {one.account_id.int << 128 | one.post_id.int: one for one in reversed(rows)}
        ordered = [unique[key] for key in sorted(unique)]
        loaded = [{"account_id": one.account_id, "post_id": one.post_id, "at": one.at} for one in ordered]
        posts = {one.post_id.int: one.post_id for one in ordered}
        counts = Counter([one.post_id.int for one in ordered])
        if self._any(_LIKED, posts.values()):
            for _ in self._slices(_likes, loaded):
                for statement in (_DROP_KNOWN_LIKES, _ADD_LIKES, _COUNT_LIKES):
                    self._work.change(statement, {})
            return
        self._put(likes, loaded)
        self._put(post_counters, [{"post_id": posts[n], "likes": counts[n]} for n in sorted(counts)])

    def stock(self, rows: Mapping[UUID, int]) -> None:
        if any(units < 0 for units in rows.values()):
            raise self._work.refused(Invalid("units below 0"))
        start = {"reserved": 0, "sold": 0, "version": 1}
        values = [start | {"product_id": one, "on_hand": rows[one], "received": rows[one]} for one in sorted(rows)]
        for _ in self._slices(_stock, values):
            self._receive([row.product_id for row in self._work.rows(_ADD_STOCK, {})])

    def _lock_counters(self, ids: Collection[UUID]) -> None:
        if len(self._work.rows(LOCK_COUNTERS, {"ids": list(ids)})) < len(ids):
            raise NotFound

    def _any(self, which: Executable, ids: Iterable[UUID]) -> bool:
        return bool(self._work.rows(which, {"ids": list(ids)})[0][0])

    def _put(self, table: Table, rows: Rows) -> None:
        for some in batched(rows, _SLICE):
            with self._work.connection() as connection:
                self._load(connection, table, some)

    def _slices(self, table: Table, rows: Rows) -> Iterator[None]:
        """Yield once per slice of the rows, loaded into the temporary table. After an error the rollback drops it."""
        if not rows:
            return
        with self._work.connection() as connection:
            table.create(connection, checkfirst=False)
        for number, some in enumerate(batched(rows, _SLICE)):
            if number:
                self._work.change(_EMPTY[table], {})
            with self._work.connection() as connection:
                self._load(connection, table, some)
            yield
        with self._work.connection() as connection:
            table.drop(connection, checkfirst=False)
