"""A system with posts of several months, whose people continue to post, follow and read."""

import random
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from app.container import Container
from app.ids import uuid7
from app.services.commands.precondition import Precondition
from app.services.content.posts import PostDraft
from app.worker.running import relay_of
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Follow, Like
from tests.system.crowd import defined, people, served

FOLLOWEES = 12
DAYS = 60
ANY = Precondition(given=True, any=True)
# Posts that the traffic deletes at most. Each leaves a tombstone in the timelines of its author's followers. Once the
# budget of a timeline is spent it is rebuilt, which repairs what a test has damaged before the doctor can find it; and
# the slower the machine, the longer the traffic runs. The rest of the budget is left for unfollows.
DELETIONS = MAX_TOMBSTONES - 100


class World:
    """The first `movers` accounts post, follow and unfollow one another. The others (`settled`) only read, so the
    entries loaded for them do not change.
    """

    def __init__(self, container: Container, *, accounts: int, posts: int, movers: int, seed: int) -> None:
        self.container, self.chance = container, random.Random(seed)  # noqa: S311 - test data
        self.accounts = people(container, accounts)
        self.movers, self.settled = self.accounts[:movers], self.accounts[movers:]
        self.posts = [self._post() for _ in range(posts)]
        self._load()

    def readers(self) -> list[UUID]:
        return self.accounts

    def unequal(self, readers: Collection[UUID]) -> list[UUID]:
        """The readers whose served feed differs from its definition."""
        return [r for r in readers if served(self.container, r) != defined(self.container, r)]

    def author_unequal(self) -> list[UUID]:
        posts, feeds = self.container.stores.documents.posts, self.container.stores.feeds
        return [a for a in self.accounts if feeds.author_page(a, limit=9999) != posts.by_authors([a], limit=9999)]

    def burst(self, author: UUID, count: int, readers: Collection[UUID]) -> list[UUID]:
        """Store posts of the last minutes, delivered to these readers and to the author."""
        now = self.container.kit.clock()
        times = [now - timedelta(minutes=2, milliseconds=n) for n in range(count)]
        posts = [Post(uuid7(at, n), author, "A post", "Words.", (), (), at, at, 1) for n, at in enumerate(times)]
        refs = [PostRef(post.id, author) for post in posts]
        self.container.stores.documents.posts.load(posts)
        self.container.stores.feeds.load(refs, [(owner, ref) for owner in (author, *readers) for ref in refs])
        return [post.id for post in posts]

    def _post(self) -> Post:
        at = self.container.kit.clock() - timedelta(days=DAYS) * self.chance.random() - timedelta(minutes=5)
        author = self.chance.choice(self.accounts)
        return Post(uuid7(at, self.chance.getrandbits(62)), author, "A post", "Words.", (), (), at, at, 1)

    def _load(self) -> None:
        stores, now = self.container.stores, self.container.kit.clock()
        stores.documents.posts.load(self.posts)
        edges = [(a, b) for a in self.accounts for b in self.chance.sample(self.accounts, FOLLOWEES) if a != b]
        with stores.relational.transaction() as tx:
            tx.bulk.follows([Follow(a, b, now) for a, b in edges])
            fans = [(a, p.id) for p in self.posts for a in self.chance.sample(self.accounts, 2)]
            tx.bulk.likes([Like(a, p, now) for a, p in fans])
        stores.documents.comments.load(
            [Comment(p.id, n, self.accounts[0], "Yes.", now) for p in self.posts for n in (1, 2)]
        )
        refs = {a: [PostRef(p.id, a) for p in self.posts if p.author_id == a] for a in self.accounts}
        own = [(a, ref) for a in self.accounts for ref in refs[a]]
        stores.feeds.load([ref for _, ref in own], [*own, *((a, ref) for a, b in edges for ref in refs[b])])


class Traffic:
    """Each method is one step of one thread."""

    def __init__(self, world: World) -> None:
        self._world, self._container = world, world.container
        self._chance = random.Random(3)  # noqa: S311 - test data
        self._mine: list[tuple[UUID, UUID]] = []
        self._ended: set[tuple[UUID, UUID]] = set()
        self._deletions = DELETIONS
        self.steps, self.errors = 0, list[Exception]()

    def posting(self) -> None:
        author = self._chance.choice(self._world.movers)
        post = self._container.content.posts.publish(author, PostDraft("New", "Words.")).id
        self._container.content.posts.like(self._chance.choice(self._world.movers), post)
        self._mine.append((author, post))
        if len(self._mine) > 10 and self._deletions:
            self._deletions -= 1
            author, post = self._mine.pop(self._chance.randrange(5))
            self._container.content.posts.delete(author, post, ANY)

    def following(self) -> None:
        """Nobody follows an account again after unfollowing it. A post pushed too late to a reader who unfollowed is
        only left over, but after another follow the doctor would report it as wrong.
        """
        a, b = self._chance.sample(self._world.movers, 2)
        if (a, b) in self._ended:
            return
        if self._chance.random() < 0.5:
            self._container.people.graph.follow(a, b)
        else:
            self._ended.add((a, b))
            self._container.people.graph.unfollow(a, b)

    def reading(self) -> None:
        served(self._container, self._chance.choice(self._world.accounts), size=50)


@contextmanager
def traffic(world: World, pause: float = 0.05) -> Iterator[Traffic]:
    """Posting, deleting, following, liking, reading, and a relay. Any error in them fails the test.

    Follows change rarely and deletions are limited, so that no timeline's tombstone budget is used up.
    """
    moves, stop = Traffic(world), threading.Event()

    def run(step: Callable[[], None], every: float) -> None:
        while not stop.wait(every):
            try:
                step()
                moves.steps += 1
            except Exception as error:  # noqa: BLE001 - told by the test
                moves.errors.append(error)

    relay = relay_of(world.container)
    paces = {moves.posting: pause, moves.following: 10 * pause, moves.reading: pause}
    threads = [threading.Thread(target=run, args=pace) for pace in paces.items()]
    threads.append(threading.Thread(target=relay.run, args=(stop,)))
    for thread in threads:
        thread.start()
    try:
        yield moves
    finally:
        stop.set()
        # Without a limit: what follows compares a system at rest.
        for thread in threads:
            thread.join()
    assert not moves.errors, moves.errors[:3]
    assert moves.steps
