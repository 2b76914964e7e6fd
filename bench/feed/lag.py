"""Measures the lag of deliveries while an author with many followers posts, pushed and pulled, and others post too.

The relay is a separate process, as in production; the authors post from this one.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic
from uuid import UUID

import click
from msgspec import Struct

from app.container import Container
from app.ids import uuid7
from app.services.content.posts import PostDraft
from app.services.feeds import lag_histogram
from app.services.feeds.page_windows import Window
from bench.feed.crowd import follow, post_of, register, system
from repositories.records.content import PostRef
from repositories.records.feeds import Fanout
from repositories.records.people import Account
from tests.engines import Engines
from tests.engines.guard import guarded

ORDINARY, FANS_OF_EACH = 20, 50
# The posts per day of the author with many followers. In the pulled case the threshold is half of the deliveries.
POSTED = 10
PAUSE = 0.25
QUIET = 1.0
PATIENCE = 60.0
DRAFT = PostDraft("A post", "Some words.", (), ())


class Plan(Struct, frozen=True):
    """The popular author posts `posts` times. The others post for at least `seconds`, and until those are delivered.

    The measurement ends after `longest` seconds in any case.
    """

    followers: int
    posts: int
    seconds: float
    longest: float


def measure(engines: Engines, plan: Plan) -> None:
    for way, threshold in (("pushed", 10**12), ("pulled", plan.followers * POSTED // 2)):
        with system(engines, pull_threshold=threshold) as container:
            people = register(container, [str(n) for n in range(plan.followers + 1 + ORDINARY)])
            famous, ordinary, fans = people[0], people[1 : 1 + ORDINARY], people[1 + ORDINARY :]
            _befriend(container, famous, ordinary, fans)
            with _relay(container):
                _until_dispatched(container, fans[0])
                _day(container, way, plan, famous, ordinary, fans)


def _befriend(container: Container, famous: Account, ordinary: Sequence[Account], fans: Sequence[Account]) -> None:
    follow(container, [(fan.id, famous.id) for fan in fans])
    some = fans[:FANS_OF_EACH]
    follow(container, [(fan.id, author.id) for author in ordinary for fan in some])
    now = datetime.now(UTC)
    earlier = [uuid7(now - timedelta(hours=n + 1), n) for n in range(POSTED)]
    container.stores.documents.posts.load([post_of(PostRef(one, famous.id)) for one in earlier])


@contextmanager
def _relay(container: Container) -> Iterator[None]:
    environment = {f"QUARTET_{name.upper()}": str(value) for name, value in asdict(container.settings).items()}
    environment |= {"QUARTET_LOG_LEVEL": "warning", "PATH": os.environ["PATH"]}
    command = guarded([sys.executable, "-c", "from app.cli import main; main()", "relay"])
    with subprocess.Popen(command, env=environment) as relay:
        try:
            yield
        finally:
            relay.terminate()


def _until_dispatched(container: Container, author: Account) -> None:
    """Wait until the relay has dispatched a first post, so it is up and connected to all stores."""
    post, until = container.content.posts.publish(author.id, DRAFT), monotonic() + PATIENCE
    while not _are_over(container, [post.id]):
        if monotonic() > until:
            raise click.ClickException("the relay dispatches nothing")
        Event().wait(PAUSE)


def _day(
    container: Container, way: str, plan: Plan, famous: Account, ordinary: Sequence[Account], fans: Sequence[Account]
) -> None:
    """Post as all authors, then print the recorded progress of the fan-outs."""
    clock, pause = monotonic, Event()
    began, shown, others = clock(), list[UUID](), list[UUID]()
    while clock() - began < plan.longest:
        if len(shown) < plan.posts and clock() - began > QUIET:
            shown.append(container.content.posts.publish(famous.id, DRAFT).id)
            assert _is_seen(container, fans[-1].id, shown[-1])
        author = ordinary[len(others) % ORDINARY]
        others.append(container.content.posts.publish(author.id, DRAFT).id)
        if clock() - began > plan.seconds and _are_over(container, shown):
            break
        pause.wait(PAUSE)
    seconds = clock() - began
    until = clock() + PATIENCE
    while not _are_over(container, others) and clock() < until:
        pause.wait(PAUSE)
    click.echo(f"{way}, {plan.followers:,} followers, {len(others)} other posts in {seconds:.0f} s, {_load()}")
    _print_lag("  the one with many followers", _found(container, shown))
    _print_lag("  everybody else", _found(container, others))


def _is_seen(container: Container, reader: UUID, post_id: UUID) -> bool:
    """Whether the reader sees the post, which must be so at once, whatever the relay does."""
    return post_id in container.pages.cards.home(reader, Window(20)).ids


def _found(container: Container, posts: Sequence[UUID]) -> list[Fanout]:
    every = (container.stores.relational.fanouts.progress(one) for one in posts)
    return [fanout for fanout in every if fanout]


def _are_over(container: Container, posts: Sequence[UUID]) -> bool:
    found = _found(container, posts)
    return len(found) == len(posts) and all(fanout.state != "running" for fanout in found)


def _print_lag(who: str, found: Sequence[Fanout]) -> None:
    counts = Counter[int]()
    for fanout in found:
        counts.update(dict(fanout.lag_histogram))
    merged = tuple(sorted(counts.items()))
    states = ", ".join(f"{number} {state}" for state, number in Counter(one.state for one in found).items())
    said = [f"{states or 'not begun'}; {sum(counts.values()):,} deliveries"]
    said += [
        f"p{share * 100:.0f} {lag / 1000:.2f} s"
        for share in (0.5, 0.99)
        if (lag := lag_histogram.percentile(merged, share))
    ]
    waits = sorted((one.begun_at - one.published_at).total_seconds() for one in found)
    said += [f"begun after {waits[len(waits) // 2]:.2f} s"] if waits else []
    click.echo(f"{who}: {', '.join(said)}")


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"
