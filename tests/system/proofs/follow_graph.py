"""A graph of follows: authors with some tens of followers each, one with all readers as followers, dormant readers."""

import random
from collections import Counter
from typing import Any
from uuid import UUID

from msgspec import Struct

from app.container import Container
from config import Settings
from repositories.records.graph import Follow
from tests.system.crowd import people


class GraphSize(Struct, frozen=True):
    """`fans` are the minimum and maximum of an author's followers; `threads` publish concurrently.

    A fan-out pushes to `chunk` followers in one step; a relay's claims are leased for `lease` seconds.
    """

    posts: int
    authors: int
    readers: int
    fans: tuple[int, int]
    threads: int
    chunk: int
    lease: float

    @property
    def each(self) -> int:
        return self.posts // self.authors

    def settings(self, urls: dict[str, Any], deliveries_per_second: int) -> Settings:
        """Settings with a threshold that only the author with all followers passes, after half of the posts."""
        timeouts = {f"{role}_timeout": 5.0 for role in ("relational", "documents", "feeds", "sessions")}
        return Settings(
            **urls | timeouts,
            threads=2 * self.threads,
            fanout_chunk=self.chunk,
            pull_threshold=self.each * (self.fans[1] + self.readers) // 2,
            pull_seconds=0.5,
            deliveries_per_second=deliveries_per_second,
            relay_poll_seconds=0.05,
            relay_lease_seconds=self.lease,
            rebuild_posts=50,
        )


SMALL = GraphSize(posts=160, authors=16, readers=32, fans=(4, 14), threads=6, chunk=7, lease=3)


def size_for(posts: int) -> GraphSize:
    """The size for this many posts: with 100 authors if there are enough posts for them."""
    return SMALL if posts <= SMALL.posts else GraphSize(posts, 100, 80, (10, 40), threads=12, chunk=25, lease=15)


class FollowGraph:
    """`fans` are each author's followers, `follows` the authors in each reader's feed. Authors have feeds, too."""

    def __init__(self, container: Container, size: GraphSize, chance: random.Random) -> None:
        self.container = container
        self.size = size
        self.asleep = people(container, size.readers // 8)
        with container.stores.relational.transaction() as tx:
            assert len(tx.feed_activity.sleep(seen_before=container.kit.clock(), limit=size.readers)) == len(
                self.asleep
            )
        self.readers = self.asleep + people(container, size.readers - len(self.asleep))
        self.authors = people(container, size.authors)
        self.celebrity = self.authors[0]
        self.fans = {author: chance.sample(self.readers, chance.randint(*size.fans)) for author in self.authors}
        self.fans[self.celebrity] = list(self.readers)
        self.follows: dict[UUID, set[UUID]] = {author: {author} for author in self.authors}
        for author, fans in self.fans.items():
            for fan in fans:
                self.follows.setdefault(fan, {fan}).add(author)
        self._befriend()

    def _befriend(self) -> None:
        since = self.container.kit.clock()
        with self.container.stores.relational.transaction() as tx:
            tx.bulk.follows([Follow(fan, author, since) for author, fans in self.fans.items() for fan in fans])

    def truth(self) -> dict[UUID, UUID]:
        """All existing posts, with their authors."""
        refs = self.container.stores.documents.posts.by_authors(self.authors, limit=10 * self.size.posts)
        return {ref.post_id: ref.author_id for ref in refs}

    def states(self) -> Counter[str]:
        """The number of readers in each state, and the number of pulled authors by reason."""
        counted = Counter[str](
            self.container.stores.relational.feed_activity.reader_state(r).state for r in self.readers
        )
        pulled = self.container.stores.relational.fanouts.pulled_authors(after=None, limit=1000)
        return counted + Counter(f"pulled for {one.reason}" for one in pulled)
