"""The data set: accounts, follows, posts of two months, likes and comments. The same plan gives the same ids.

Everything is computed and nothing is stored, so that all builds and the peer get the same data.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from app.ids import uuid7
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Follow, Like
from repositories.records.people import Account

SPAN = timedelta(days=60)
# Accounts other than readers follow fewer in a large town: their follows only add to the size of the table.
MOST_FOLLOWS = 60_000
TALKED_ABOUT = 20_000
LIKES, COMMENTS = 5, 2
WORDS = "Some words about a lamp of brass. " * 6


class Plan(Struct, frozen=True):
    """The first `readers` accounts follow `followees` each. With `silent`, those posted only in the oldest tenth of the
    time. Each reader blocks `blocks` of the accounts they do not follow, and is blocked by as many.
    """

    accounts: int
    posts: int
    followees: int
    readers: int
    silent: bool
    until: datetime
    blocks: int = 0


class Town:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        born = plan.until - 2 * SPAN
        draw = self._draw("ids")
        self.ids = [uuid7(born + timedelta(seconds=n), draw.getrandbits(62)) for n in range(plan.accounts)]
        self.readers = self.ids[: plan.readers]
        others = self.ids[plan.readers :]
        # With `silent`, readers follow silent accounts only.
        self._silent = others[len(others) // 2 :] if plan.silent else others
        self._busy = others[: len(others) // 2] if plan.silent else self.ids

    @cached_property
    def refs(self) -> list[PostRef]:
        """All posts, oldest first; the newest is a minute old."""
        draw, plan = self._draw("posts"), self.plan
        step, end = SPAN / plan.posts, plan.until - timedelta(minutes=1)
        first = plan.posts * 9 // 10 if plan.silent else 0
        return [
            PostRef(uuid7(end - step * n, draw.getrandbits(62)), draw.choice(self._silent if n > first else self._busy))
            for n in reversed(range(plan.posts))
        ]

    @cached_property
    def followees(self) -> list[list[UUID]]:
        """The followees of each reader."""
        draw = self._draw("followees")
        return [draw.sample(self._silent, self.plan.followees) for _ in self.readers]

    def accounts(self) -> Iterator[Account]:
        at = self.plan.until - 2 * SPAN
        for number, one in enumerate(self.ids):
            yield Account(one, f"person_{number}", f"Person {number}", "Writes about lamps.", None, at, 1)

    def token(self, reader: int) -> str:
        return f"token-of-reader-{reader:06}-of-the-signed-in-bench"

    def follows(self) -> Iterator[Follow]:
        draw, since = self._draw("follows"), self.plan.until - SPAN
        for reader, some in zip(self.readers, self.followees, strict=True):
            yield from (Follow(reader, one, since) for one in some)
        each = min(30, MOST_FOLLOWS // self.plan.accounts)
        for one in self.ids[self.plan.readers :]:
            yield from (Follow(one, other, since) for other in draw.sample(self.ids, each) if other != one)

    def blocked(self) -> Iterator[tuple[UUID, UUID]]:
        """Pairs of blocker and blocked."""
        draw = self._draw("blocks")
        for reader, followed in zip(self.readers, self.followees, strict=True):
            others = sorted(set(self.ids[self.plan.readers :]) - set(followed))
            some = draw.sample(others, 2 * self.plan.blocks)
            yield from ((reader, one) for one in some[: self.plan.blocks])
            yield from ((one, reader) for one in some[self.plan.blocks :])

    def posts(self) -> Iterator[Post]:
        for ref in self.refs:
            at = datetime.fromtimestamp((ref.post_id.int >> 80) / 1000, UTC)
            yield Post(ref.post_id, ref.author_id, "A post about a lamp", WORDS, ("lamps", "brass"), (), at, at, 1)

    def likes(self) -> Iterator[Like]:
        draw, at = self._draw("likes"), self.plan.until
        for ref in self.refs[-TALKED_ABOUT:]:
            yield from (Like(one, ref.post_id, at) for one in draw.sample(self.ids, LIKES))

    def comments(self) -> Iterator[Comment]:
        draw, at = self._draw("comments"), self.plan.until
        for ref in self.refs[-TALKED_ABOUT:]:
            for number, one in enumerate(draw.sample(self.ids, COMMENTS), start=1):
                yield Comment(ref.post_id, number, one, "Yes, a fine lamp.", at)

    def home(self, reader: int, limit: int) -> Sequence[PostRef]:
        """The reader's feed by definition, newest first."""
        written = self._written
        some = (written.get(author, [])[-limit:] for author in (self.readers[reader], *self.followees[reader]))
        return heapq.nlargest(limit, (ref for refs in some for ref in refs), key=lambda ref: ref.post_id)

    @cached_property
    def _written(self) -> dict[UUID, list[PostRef]]:
        found: dict[UUID, list[PostRef]] = {}
        for ref in self.refs:
            found.setdefault(ref.author_id, []).append(ref)
        return found

    def _draw(self, name: str) -> random.Random:
        return random.Random(f"{self.plan}{name}")  # noqa: S311  reproducible in each process on purpose
