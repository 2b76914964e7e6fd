"""After its 201 a post is in every follower's feed, whether the relay is stopped, slow or killed (set-full).

After every 201 a follower pages downward to where the post must be, or upward from where that follower was, and must
find it and all posts that were acknowledged before. Readers who only page upward must in the end have seen each post
once. `QUARTET_VISIBLE_POSTS=10000` is the long form: 10,000 posts by 100 authors on the engines, and 1,000 on the
embedded adapters.
"""

import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from repositories.errors import StoreError
from tests.apps import System, embedded, running
from tests.engines import Shared
from tests.system.crowd import dead_letters, publish, served, unsent
from tests.system.proofs import follow_graph, relays
from tests.system.proofs.follow_graph import FollowGraph, GraphSize
from tests.system.proofs.screens import Screen, screens
from tests.system.proofs.setfull import Outcome, SetFull
from tests.system.real import KEYSPACE, real_urls

log = logging.getLogger(__name__)
POSTS = int(os.environ.get("QUARTET_VISIBLE_POSTS", "112"))
Mode = Callable[[Container, Path, random.Random], AbstractContextManager[object]]
# The delivery budget of a relay, in deliveries a second, such that some fan-outs are shed. 0: no limit.
BUDGETS: dict[Mode, int] = {relays.stopped: 0, relays.slow_relays: 250, relays.killed: 0}
CLIMBING = 2
MODES = pytest.mark.parametrize("mode", BUDGETS, ids=lambda mode: mode.__name__)


class Run:
    """The readers and authors of a follow graph, and the record of what the readers were shown."""

    def __init__(self, system: System, size: GraphSize, chance: random.Random) -> None:
        self.graph = FollowGraph(system.container, size, chance)
        self.container = system.container
        self.chance = chance
        self.set = SetFull(self.graph.follows)
        self.times: list[float] = []
        self.screens = screens(self.container, system.app, self.graph.readers, chance, self.times)
        awake = self.graph.readers[len(self.graph.asleep) :]
        self.climbers = [self.screens[reader] for reader in (*self.graph.asleep[:2], *awake[: size.readers // 3])]
        self.late = set(self.climbers[1::3])

    def publish(self, author: UUID) -> None:
        begun = monotonic()
        try:
            post = publish(self.container, author)
        except StoreError:
            self.set.unknown()
            return
        self.set.acknowledged(post, author, begun)
        self._look(self.screens[self.chance.choice(self.graph.fans[author])], post)

    def write(self) -> None:
        """Publish all posts, by all authors concurrently."""
        authors = [author for author in self.graph.authors for _ in range(self.graph.size.each)]
        self.chance.shuffle(authors)
        with ThreadPoolExecutor(self.graph.size.threads) as pool:
            for done in [pool.submit(self.publish, author) for author in authors]:
                done.result()

    def climb(self, stop: threading.Event) -> None:
        """Let randomly chosen readers page upward, until all have begun. Some begin only after half of the posts."""
        while not stop.is_set() or any(screen.started is None for screen in self.climbers):
            screen = self.chance.choice(self.climbers)
            if screen.started is not None:
                self._climb(screen)
            elif screen not in self.late or self.set.count > self.graph.size.posts // 2 or stop.is_set():
                screen.open()

    def finish(self, size: int) -> Outcome:
        """Check the final state, once no event waits."""
        truth = self.graph.truth()
        feeds = {reader: served(self.container, reader, size) for reader in self.graph.follows}
        self.set.finish(truth, feeds)
        for screen in self.climbers:
            self._climb(screen)
            self.set.finish_climb(screen, truth)
        return self.set.outcome

    def _look(self, screen: Screen, post: UUID) -> None:
        begun = monotonic()
        if screen.started is not None and self.chance.random() < 0.5:
            self._climb(screen)
        else:
            self.set.looked(screen.reader, begun, screen.down_to(post))

    def _climb(self, screen: Screen) -> None:
        begun = monotonic()
        self.set.climbed(screen, begun, screen.climb())


@pytest.fixture
def chance() -> random.Random:
    return random.Random(5)  # noqa: S311 - a graph and moments of death, not secrets


@pytest.mark.long
@MODES
def test_posts_are_visible_at_201_on_embedded_adapters(mode: Mode, chance: random.Random, tmp_path: Path) -> None:
    prove(mode, follow_graph.size_for(min(POSTS, 1000)), embedded(tmp_path), tmp_path, chance)


@pytest.mark.proof
@pytest.mark.engines
@pytest.mark.timeout(1800)
@MODES
def test_posts_are_visible_at_201_on_the_engines(
    mode: Mode, chance: random.Random, engines: Shared, tmp_path: Path
) -> None:
    engines.start_all()
    prove(mode, follow_graph.size_for(POSTS), real_urls(engines, "visible", keyspace=KEYSPACE), tmp_path, chance)


def prove(mode: Mode, size: GraphSize, urls: dict[str, Any], folder: Path, chance: random.Random) -> None:
    with running(size.settings(urls, BUDGETS[mode] * size.threads // 6)) as system:
        run = Run(system, size, chance)
        run.publish(run.graph.celebrity)
        began = monotonic()
        with mode(system.container, folder, chance), climbing(run):
            run.write()
        wrote = monotonic()
        log.info("%d posts in %.0f s, then %s", size.posts, wrote - began, dict(run.graph.states()))
        waiting = unsent(system.container)
        relays.catch_up(system.container, folder)
        log.info("%d events dispatched in %.0f s, then %s", waiting, monotonic() - wrote, dict(run.graph.states()))
        outcome = run.finish(100 if size is follow_graph.SMALL else 1000)
        log.info("%s; page %s", outcome, quantiles(run.times))
        assert dead_letters(system.container) == {}
        assert outcome.sound, str(outcome)
        assert outcome.acknowledged + outcome.unknown == size.each * size.authors + 1
        assert outcome.climbers == len(run.climbers)
        assert mode is not relays.stopped or waiting > size.posts


@contextmanager
def climbing(run: Run) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(CLIMBING) as pool:
        works = [pool.submit(run.climb, stop) for _ in range(CLIMBING)]
        try:
            yield
        finally:
            stop.set()
    for work in works:
        work.result()


def quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    p50, p99 = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(ordered)}"
