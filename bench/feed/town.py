"""A data set for reading feeds: authors, posts of two months, and readers with few to very many followees.

Half of the posts are by a few busy authors, a tenth by pulled authors; most readers follow some of each. Ten thousand
accounts posted only in the first tenth of the time, and one kind of reader follows only those. Home timelines hold what
the relay and back-fills would have written: the newest posts by pushed followees. No post is in flight.
"""

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from app.container import Container
from app.ids import uuid7
from bench.feed.crowd import BATCH, follow, post_of, register
from repositories.batched import batched
from repositories.records.content import PostRef
from repositories.records.people import Account

ACCOUNTS, BUSY, PULLED, SILENT = 30_000, 100, 300, 10_000
FOLLOWED_PULLED = 3
READERS = 3
SPAN = timedelta(days=60)
KEPT = 1_000
# How many entries of a reader's feed are computed, to check pages.
KNOWN = 1_500


class Kind(Struct, frozen=True):
    """A kind of reader: the number of followees, and whether these are all silent."""

    followees: int
    silent: bool = False

    def __str__(self) -> str:
        return f"{self.followees:,}{' silent' if self.silent else ''}"


class Reader(Struct, frozen=True):
    """`feed` are the expected posts, newest first, at most `KNOWN`."""

    account: Account
    followees: frozenset[UUID]
    feed: list[UUID]


class Crowd(Struct, frozen=True):
    """The authors, by how they post."""

    busy: Sequence[UUID]
    pulled: Sequence[UUID]
    quiet: Sequence[UUID]
    silent: Sequence[UUID]


class Town(Struct, frozen=True):
    posts: int
    readers: dict[Kind, list[Reader]]


def settle(container: Container, posts: int, kinds: Sequence[Kind], also: Callable[[Sequence[PostRef]], None]) -> Town:
    """Fill empty stores, and pass the posts to `also`. The same town every time, except for its ids and times."""
    draw = random.Random(posts)  # noqa: S311 - reproducible on purpose
    now = datetime.now(UTC)
    crowd = _crowd([one.id for one in register(container, [str(n) for n in range(ACCOUNTS)])])
    readers = {kind: register(container, [f"{n}_{k}" for k in range(READERS)]) for n, kind in enumerate(kinds)}
    refs = list(_written(crowd, posts, draw, now))
    _publish(container, refs)
    also(refs)
    with container.stores.relational.transaction() as tx:
        for author in crowd.pulled:
            tx.fanouts.pull(author, at=now, reason="threshold")
    return Town(
        posts,
        {
            kind: [_settled(container, one, _circle(crowd, kind, draw), refs, crowd.pulled) for one in readers[kind]]
            for kind in kinds
        },
    )


def _crowd(authors: Sequence[UUID]) -> Crowd:
    others = BUSY + PULLED
    return Crowd(
        authors[:BUSY], authors[BUSY:others], authors[others : ACCOUNTS - SILENT], authors[ACCOUNTS - SILENT :]
    )


def _written(crowd: Crowd, posts: int, draw: random.Random, now: datetime) -> Iterator[PostRef]:
    """The posts, oldest first; the newest is a minute old."""
    step = SPAN / posts
    for back in range(posts, 0, -1):
        others = crowd.silent if back > posts * 0.9 else crowd.quiet
        [some] = draw.choices([crowd.busy, crowd.pulled, others], [5, 1, 4])
        at = now - timedelta(minutes=1) - step * back
        yield PostRef(uuid7(at, draw.getrandbits(62)), draw.choice(some))


def _publish(container: Container, refs: Sequence[PostRef]) -> None:
    for some in batched(refs, BATCH):
        container.stores.documents.posts.load([post_of(ref) for ref in some])


def _circle(crowd: Crowd, kind: Kind, draw: random.Random) -> list[UUID]:
    """The followees of a reader: some pulled, some busy, and quiet ones for the rest."""
    if kind.silent:
        return draw.sample(crowd.silent, kind.followees)
    busy = min(BUSY, max(kind.followees // 100, min(7, kind.followees - FOLLOWED_PULLED)))
    some = draw.sample(crowd.pulled, FOLLOWED_PULLED) + draw.sample(crowd.busy, busy)
    return some + draw.sample(crowd.quiet, kind.followees - len(some))


def _settled(
    container: Container,
    reader: Account,
    circle: Sequence[UUID],
    refs: Sequence[PostRef],
    pulled: Collection[UUID],
) -> Reader:
    """Follow the circle, and load the pushed posts into the timeline, with a low watermark if it has not all."""
    stores, followees = container.stores, frozenset(circle)
    follow(container, [(reader.id, one) for one in circle])
    pushed = followees.difference(pulled)
    newest = list(itertools.islice((ref for ref in reversed(refs) if ref.author_id in pushed), KEPT))
    stores.feeds.load((), ((reader.id, ref) for ref in newest))
    if len(newest) == KEPT:
        with stores.relational.transaction() as tx:
            tx.feed_activity.raise_low_watermark(reader.id, newest[-1].post_id)
    feed = itertools.islice((ref.post_id for ref in reversed(refs) if ref.author_id in followees), KNOWN)
    return Reader(reader, followees, list(feed))
