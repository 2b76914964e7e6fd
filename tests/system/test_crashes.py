"""kill -9 of the relay and of every engine under write traffic: nothing acknowledged is lost or duplicated."""

import logging
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from multiprocessing.synchronize import Event
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from app.container import Container, build
from app.worker.running import relay_of, start_inline
from config import Settings
from repositories.errors import StoreError
from tests.apps import PlainHasher, running
from tests.engines import Engines, Server
from tests.engines.kernel import wait_until
from tests.system.crowd import (
    account_stats,
    befriend,
    dead_letters,
    defined,
    people,
    post_stats,
    publish,
    served,
    stored,
    unsent,
)
from tests.system.forks import FORKS
from tests.system.real import real_urls
from tests.system.writers import Work, Writers

log = logging.getLogger(__name__)
# A factor for the numbers of kills of every engine, and of the relay.
ROUNDS = int(os.environ.get("QUARTET_CRASH_ROUNDS", "1"))
FOLLOWERS = 60
POSTS, KILLS = 34 * ROUNDS, 6 * ROUNDS
# Seconds; on an idle machine a few suffice.
SETTLED = 100
# Cassandra only in longer runs, since `proofs/test_total_queue.py` kills it too.
DEATHS = ("postgres", "mongo", "sessions", "cache", *(("cassandra",) if ROUNDS > 1 else ())) * ROUNDS


@pytest.fixture
def chance() -> random.Random:
    return random.Random(11)  # noqa: S311 - moments of death, not secrets


@pytest.fixture(scope="module")
def container(own_engines: Engines) -> Iterator[Container]:
    own_engines.start_all()
    settings = Settings(
        **real_urls(own_engines, "crashes"),
        threads=16,
        fanout_chunk=20,
        relay_lease_seconds=1,
        relay_poll_seconds=0.05,
        relational_timeout=1,
        documents_timeout=1,
        feeds_timeout=1,
    )
    with running(settings) as system:
        yield system.container
    own_engines.heal()


@pytest.mark.proof
def test_posts_are_delivered_though_the_relay_is_killed_repeatedly(container: Container, chance: random.Random) -> None:
    everybody = people(container, 3 + FOLLOWERS)
    authors, readers = everybody[:3], everybody[3:]
    befriend(container, readers, authors)
    writers = Writers(container, chance)
    works: list[Work] = [partial(writers.publishes, author, 0.1, POSTS) for author in authors]
    with writers.at_work([*works, partial(writers.read, readers)]) as running_works:
        written = running_works[:-1]
        # Until something is stored: on a busy machine all relays may die before they have pushed anything.
        kills = kill_relays(
            container.settings,
            lambda: all(w.done() for w in written) and any(stored(container, reader) for reader in readers),
            chance,
        )
        dispatched, pushed = 3 * POSTS - unsent(container), sum(len(stored(container, reader)) for reader in readers)
    begun = monotonic()
    last = relay_by_command(container.settings)
    assert last.endswith(" events dispatched\n")
    log.info("at the end, in %.1f s: %s", monotonic() - begun, last)
    settle(container)

    log.info("%d relays killed; of the dead: %d events dispatched, %d entries pushed", kills, dispatched, pushed)
    assert_sound(container, writers)
    posts = sorted(writers.posts, reverse=True)
    assert len(posts) == 3 * POSTS
    for reader in readers:
        assert served(container, reader) == stored(container, reader) == posts


def test_nothing_acknowledged_is_lost_while_each_engine_is_killed(
    container: Container, own_engines: Engines, chance: random.Random
) -> None:
    everybody = people(container, 24)
    authors, readers, fans = everybody[:4], everybody[4:12], everybody[12:]
    befriend(container, readers, authors)
    names = [account.handle for account in container.stores.relational.accounts.get(everybody).values()]
    target = publish(container, people(container, 1)[0])
    writers = Writers(container, chance)
    works: list[Work] = [
        *(partial(writers.publishes, author, 0.3, 200) for author in authors),
        partial(writers.follow, list(product(fans, everybody[:12])), 0.1),
        partial(writers.like, everybody, target, 0.3),
        partial(writers.sign_in, names, 0.02),
        partial(writers.read, readers),
    ]
    begun = monotonic()
    stop_relay = start_inline(container)
    with writers.at_work(works):
        for engine in DEATHS:
            crash(getattr(own_engines, engine)(), chance.uniform(0.2, 0.6))
    stop_relay()
    log.info("%d engines killed in %.0f s", len(DEATHS), monotonic() - begun)
    settle(container)

    log.info("tried %s, refused %s", dict(writers.tried), dict(writers.refused))
    assert_sound(container, writers)
    assert_posts_are_kept_once(container, writers, authors)
    assert_follows_are_kept_once(container, writers, fans, authors, readers)
    assert container.stores.relational.likes.counts([target])[target] >= len(writers.likes) > 0
    likes = container.stores.relational.likes.counts([target])[target]
    assert post_stats(container, [target])[target].likes == likes
    assert all(container.people.sessions.authenticate(token) for token in writers.tokens)
    for reader in everybody:
        assert served(container, reader) == stored(container, reader) == defined(container, reader)


def relay_process(settings: dict[str, Any], connected: Event) -> None:
    logging.disable()
    container = build(Settings(**settings), hasher=PlainHasher())
    for store in container.stores.by_role().values():
        store.ping()
    connected.set()
    relay_of(container).run(threading.Event())


def relay_by_command(settings: Settings) -> str:
    """Run `quartet relay --once`, which dispatches all events; returns its output."""
    environment = {f"QUARTET_{name.upper()}": str(value) for name, value in asdict(settings).items()}
    command = [sys.executable, "-c", "from app.cli import main; main()", "relay", "--once"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SETTLED, check=True).stdout


def kill_relays(settings: Settings, until: Callable[[], bool], chance: random.Random) -> int:
    """Start one relay after another, and kill each at a random time. Returns the number of kills."""
    kills = 0
    while kills < KILLS or not until():
        connected = FORKS.Event()
        relay = FORKS.Process(target=relay_process, args=(asdict(settings), connected))
        relay.start()
        assert connected.wait(10)
        relay.join(chance.uniform(0, 0.6))
        assert relay.exitcode is None
        relay.kill()
        relay.join()
        relay.close()
        kills += 1
    return kills


def crash(server: Server, seconds: float) -> None:
    threading.Event().wait(seconds)
    server.kill()
    threading.Event().wait(0.2)
    server.restart()


def settle(container: Container) -> None:
    """Run the relay until no event waits."""
    relay = relay_of(container)

    def empty() -> bool:
        try:
            relay.drain()
            return not unsent(container)
        except StoreError:
            return False

    assert wait_until(empty, SETTLED)


def assert_sound(container: Container, writers: Writers) -> None:
    assert writers.strange == []
    assert writers.missing == set()
    assert writers.samples > 0
    assert dead_letters(container) == {}


def assert_posts_are_kept_once(container: Container, writers: Writers, authors: list[UUID]) -> None:
    ids = {ref.post_id for ref in container.stores.documents.posts.by_authors(authors, limit=100_000)}
    titles = [post.title for post in container.stores.documents.posts.get(ids).values()]
    log.info("%d posts acknowledged, %d exist", len(writers.posts), len(ids))
    assert set(writers.posts) <= ids
    assert len(titles) == len(set(titles)) == len(ids)


def assert_follows_are_kept_once(
    container: Container, writers: Writers, fans: list[UUID], authors: list[UUID], readers: list[UUID]
) -> None:
    """Check that each acknowledged follow exists, is back-filled, and counts once, also in the cache."""
    graph = container.stores.relational.graph
    edges = {(fan, followee): filled for fan in fans for followee, filled in graph.followees(fan).items()}
    log.info("%d follows acknowledged, %d exist; %d sessions", len(writers.follows), len(edges), len(writers.tokens))
    assert set(writers.follows) <= set(edges)
    assert all(edges.values())
    expected = Counter(followee for _, followee in edges) + Counter(dict.fromkeys(authors, len(readers)))
    asked = [*authors, *readers]
    for counted in (graph.counts(asked), account_stats(container, asked)):
        assert [counted[one].followers for one in asked] == [expected[one] for one in asked]
