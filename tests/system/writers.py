"""People who write while stores and processes fail, with a record of what was acknowledged."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar
from uuid import UUID

from app.container import Container
from app.errors import AppError
from repositories.errors import Contention, StoreError, Unavailable
from tests.system.crowd import publish, served

T = TypeVar("T")
Work = Callable[[threading.Event], None]


class Writers:
    """Each method is the work of one thread, which runs until it is stopped and repeats refused requests.

    Unknown outcomes are not recorded: such a write may have happened or not, but not twice.
    """

    def __init__(self, container: Container, chance: random.Random) -> None:
        self._container = container
        self._chance = chance
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.posts: list[UUID] = []
        self.follows: list[tuple[UUID, UUID]] = []
        self.likes: list[UUID] = []
        self.tokens: list[str] = []
        self.samples = 0
        self.missing: set[UUID] = set()
        self.strange: list[BaseException] = []

    def publishes(self, author: UUID, pause: float, count: int, stop: threading.Event) -> None:
        for number in range(count):
            post = self._acknowledged("posts", partial(self._publish, author, number), stop)
            self.posts += [post] if post else []
            if stop.wait(pause):
                return

    def follow(self, pairs: Sequence[tuple[UUID, UUID]], pause: float, stop: threading.Event) -> None:
        for pair in pairs:
            if self._acknowledged("follows", partial(self._follow, *pair), stop):
                self.follows.append(pair)
            if stop.wait(pause):
                return

    def like(self, fans: Sequence[UUID], post: UUID, pause: float, stop: threading.Event) -> None:
        for fan in fans:
            if self._acknowledged("likes", partial(self._like, fan, post), stop):
                self.likes.append(fan)
            if stop.wait(pause):
                return

    def sign_in(self, names: Sequence[str], pause: float, stop: threading.Event) -> None:
        while not stop.wait(pause):
            signed = self._acknowledged("sessions", partial(self._sign_in, self._chance.choice(names)), stop)
            self.tokens += [signed] if signed else []

    def read(self, readers: Sequence[UUID], stop: threading.Event) -> None:
        """Read feeds, and check that they include everything acknowledged before the read."""
        while not stop.wait(0.05):
            known = set(self.posts)
            try:
                found = served(self._container, self._chance.choice(readers))
            except (StoreError, AppError) as error:
                self.refused[f"read: {type(error).__name__}"] += 1
                continue
            self.samples += 1
            self.missing |= known.difference(found)
            if len(found) > len(set(found)):
                raise AssertionError("a post is twice in a feed")

    @contextmanager
    def at_work(self, works: Collection[Work]) -> Iterator[list[Future[None]]]:
        """Run these works in threads until the block ends."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(works)) as pool:
            try:
                yield [pool.submit(self._guarded, work, stop) for work in works]
            finally:
                stop.set()

    def _acknowledged(self, kind: str, act: Callable[[], T], stop: threading.Event) -> T | None:
        while not stop.is_set():
            self.tried[kind] += 1
            try:
                return act()
            except (Unavailable, Contention) as error:
                self.refused[f"{kind}: {type(error).__name__}"] += 1
                stop.wait(0.02)
        return None

    def _guarded(self, work: Work, stop: threading.Event) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 - every kind is a finding
            self.strange.append(error)

    def _publish(self, author: UUID, number: int) -> UUID:
        return publish(self._container, author, f"{number}, after {self.tried['posts']} of all")

    def _follow(self, follower: UUID, followee: UUID) -> bool:
        self._container.people.graph.follow(follower, followee)
        return True

    def _like(self, fan: UUID, post: UUID) -> bool:
        self._container.content.posts.like(fan, post)
        return True

    def _sign_in(self, name: str) -> str:
        sessions = self._container.people.sessions
        return sessions.sign_in(sessions.known(name), name, None).token
