"""Who follows, likes and blocks, and counts of that."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class TimeCursor(Struct, frozen=True):
    """A position in a list ordered by time, then id: time and id of the last record of a page."""

    at: datetime
    id: UUID


class Edge(Struct, frozen=True):
    """One entry of a list of followers, followees or blocked accounts: the other account, and since when."""

    account_id: UUID
    since: datetime


class Follow(Struct, frozen=True):
    follower: UUID
    followee: UUID
    since: datetime


class Forgotten(Struct, frozen=True):
    """Follows that were removed with a deleted account, and whether more may be left."""

    follows: list[Follow]
    more: bool


class Like(Struct, frozen=True):
    account_id: UUID
    post_id: UUID
    at: datetime


class Relation(Struct, frozen=True):
    """The relation of a viewer to another account. `gone`: that account was deleted."""

    following: bool = False
    follows_you: bool = False
    blocking: bool = False
    blocked_by: bool = False
    gone: bool = False


class GraphCounts(Struct, frozen=True):
    followers: int = 0
    following: int = 0
