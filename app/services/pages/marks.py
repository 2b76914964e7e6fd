"""Marks of viewers: what an account likes, follows and blocks, cached as ids, so that the truth need not be asked.

Three values for each account, each dropped by every change to it: the posts of the last weeks that it likes, the
accounts that it follows, and those that it blocks. A list of more than `MOST` ids is not kept. The truth is asked for
the rest: older posts, longer lists, and everything while the cache is unavailable.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from app.clock import Clock
from app.ids import lowest_id
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value
from repositories.meter import cache_event
from repositories.read_your_writes import primary
from repositories.records.graph import Relation
from repositories.relational import RelationalStore

LIKED = timedelta(days=30)
MOST, ID = 1000, 16
# The note of a value: its list is complete for ids above the note; with `_NOTHING`, the highest id, for none.
_ALL, _NOTHING = UUID(int=0), UUID(int=(1 << 128) - 1)
Marked = tuple[set[UUID], set[UUID]]
Loads = Mapping[str, Callable[[], Value]]
Kept = Sequence[Held | None]


class Marks:
    """Reads marks through the cache, and never raises because of it. Values are fresh for `fresh` seconds."""

    def __init__(self, relational: RelationalStore, cache: Cache, clock: Clock, fresh: float) -> None:
        self._relational = relational
        self._cache = cache
        self._clock = clock
        self._fresh = fresh

    def among(
        self, account: UUID, posts: Collection[UUID], others: Collection[UUID], kept: Kept | None = None
    ) -> Marked | None:
        """Which of `posts` the account likes, and which of `others` it follows. None if the cached values do not tell.

        One round trip if they are cached; none if the caller passes the values of `keys_of(account)` as `kept`.
        """
        oldest = min(posts)
        if not kept and not self.may_say(oldest):
            return None
        ways = partial(self._likes, account), partial(self._follows, account)
        liked, followed = self._values(kept, lambda: dict(zip(keys_of(account), ways, strict=True)))
        if liked is None or followed is None or oldest.bytes <= liked.note or followed.note != _ALL.bytes:
            return None
        return _among(liked, posts), _among(followed, others)

    def relation(self, account: UUID, other: UUID, kept: Kept | None = None) -> Relation | None:
        """Whether the account follows the other, is followed by it, and blocks it. `kept` (the values of
        `relation_keys`) and None as in `among`.
        """
        if account == other:
            return Relation()
        ways = partial(self._follows, account), partial(self._follows, other), partial(self._blocks, account)
        values = self._values(kept, lambda: dict(zip(relation_keys(account, other), ways, strict=True)))
        follows, followed, blocks = (one if one and one.note == _ALL.bytes else None for one in values)
        if follows is None or followed is None or blocks is None:
            return None
        mine, theirs, blocked = (one.body or b"" for one in (follows, followed, blocks))
        return Relation(_holds(mine, other.bytes), _holds(theirs, account.bytes), _holds(blocked, other.bytes))

    def may_say(self, post: UUID) -> bool:
        """Whether the post is recent enough for likes of it to be kept."""
        return post > self._oldest()

    def _oldest(self) -> UUID:
        return lowest_id(self._clock() - LIKED)

    def _values(self, kept: Kept | None, loads: Callable[[], Loads]) -> list[Value | None]:
        """The cached values in the order of `loads`, which is not called if `kept` has them all.

        Missing ones are loaded under leases, but not those that others are loading. Raises what a load raises.
        """
        if kept and all(kept):
            cache_event("hit", len(kept))
            return [one.value for one in kept if one]
        return self._read_or_loaded(loads(), kept)

    def _read_or_loaded(self, loads: Loads, kept: Kept | None) -> list[Value | None]:
        try:
            held = dict(zip(loads, kept or self._cache.read(list(loads)), strict=True))
            missing = [key for key, one in held.items() if one is None]
            leases = self._cache.lease(dict.fromkeys(missing, b"")) if missing else []
        except Unavailable:
            return [None] * len(loads)
        cache_event("hit", len(loads) - len(missing))
        cache_event("miss", len(missing))
        mine = {key: lease for key, lease in zip(missing, leases, strict=True) if isinstance(lease, bytes)}
        loaded = self._loaded({key: loads[key] for key in mine}, mine) if mine else {}
        return [one.value if one else loaded.get(key) for key, one in held.items()]

    def _loaded(self, loads: Loads, leases: Mapping[str, bytes]) -> dict[str, Value]:
        with primary():
            found = {key: load() for key, load in loads.items()}
        with contextlib.suppress(Unavailable):
            self._cache.fill({key: Fill(leases[key], value, self._fresh) for key, value in found.items()})
        return found

    def _likes(self, account: UUID) -> Value:
        since = self._oldest()
        found = self._relational.likes.of_account(account, after=since, limit=MOST + 1)
        return _value([like.post_id for like in found], since)

    def _follows(self, account: UUID) -> Value:
        found = self._relational.graph.following(account, before=None, limit=MOST + 1)
        return _value([edge.account_id for edge in found], _ALL)

    def _blocks(self, account: UUID) -> Value:
        found = self._relational.graph.blocked(account, before=None, limit=MOST + 1)
        return _value([edge.account_id for edge in found], _ALL)


def keys_of(account: UUID) -> list[str]:
    """The keys of the values that `Marks.among` takes, in this order."""
    return [likes_key(account), follows_key(account)]


def relation_keys(account: UUID, other: UUID) -> list[str]:
    """The keys of the values that `Marks.relation` takes, in this order."""
    return [follows_key(account), follows_key(other), blocks_key(account)]


def blocks_key(account: UUID) -> str:
    return f"blocks@1:{account}"


def likes_key(account: UUID) -> str:
    return f"likes@1:{account}"


def follows_key(account: UUID) -> str:
    return f"follows@1:{account}"


def _value(ids: Collection[UUID], since: UUID) -> Value:
    if len(ids) > MOST:
        return Value(b"", note=_NOTHING.bytes)
    return Value(b"".join(one.bytes for one in ids), note=since.bytes)


def _among(kept: Value, ids: Collection[UUID]) -> set[UUID]:
    body = kept.body or b""
    return {one for one in ids if _holds(body, one.bytes)}


def _holds(packed: bytes, one: bytes) -> bool:
    at = packed.find(one)
    while at > 0 and at % ID:
        at = packed.find(one, at + 1)
    return at >= 0
