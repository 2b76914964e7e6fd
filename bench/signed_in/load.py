"""Fills a build's empty stores with a town, through that build's own ports.

Runs as a process of the build (see `builds`), with its `QUARTET_*` settings and the plan as JSON. Only the home
timelines of the readers are filled, since the others are not read.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar

import click
import msgspec

from app.container import Container, build
from app.services.people.sessions import digest
from bench.signed_in.relations import fill_relations
from bench.signed_in.town import Plan, Town
from config import Settings
from repositories.errors import Unavailable
from repositories.records.feeds import Activity
from repositories.records.people import Login, Session

T = TypeVar("T")
Part = Callable[[Container, Town], None]
BATCH = 5_000
KEPT = 1_000
TRIES = 4
AUTHORS_UP_TO = 50_000
# One in `NOTIFIED` readers has notifications.
NOTIFIED = 2


def load(container: Container, town: Town) -> None:
    """Fill all stores concurrently, then sign the readers in and notify them."""
    container.stores.migrate()
    # Computed once, before several threads ask for them.
    town.home(0, 1)
    parts = _relational, _documents, _timelines
    with ThreadPoolExecutor(len(parts)) as pool:
        for done in [pool.submit(_timed, part, container, town) for part in parts]:
            done.result()
    readers = range(town.plan.readers)
    with ThreadPoolExecutor(container.settings.threads) as pool:
        list(pool.map(lambda number: _sign_in(container, town, number), readers))
        list(pool.map(lambda number: _notify(container, town, number), readers[::NOTIFIED]))


def _timed(part: Part, container: Container, town: Town) -> None:
    began = time.monotonic()
    part(container, town)
    click.echo(f"  {part.__name__.strip('_')} loaded in {time.monotonic() - began:.0f} s")


def _relational(container: Container, town: Town) -> None:
    relational = container.stores.relational
    for people in _batches(town.accounts()):
        rows = [(one, Login(one.id, f"{one.handle}@example.com", "none")) for one in people]
        with relational.transaction() as tx:
            tx.bulk.accounts(rows, seen_at=town.plan.until)
    if container.settings.relational_url.startswith("postgresql:"):
        fill_relations(container.settings.relational_url, town)
        return
    for follows in _batches(town.follows()):
        with relational.transaction() as tx:
            tx.bulk.follows(follows)
    for likes in _batches(town.likes()):
        with relational.transaction() as tx:
            tx.bulk.likes(likes)


def _documents(container: Container, town: Town) -> None:
    documents = container.stores.documents
    for posts in _batches(town.posts()):
        documents.posts.load(posts)
    for comments in _batches(town.comments()):
        documents.comments.load(comments)


def _timelines(container: Container, town: Town) -> None:
    """Fill timelines as deliveries and back-fills would have."""
    feeds, plan = container.stores.feeds, town.plan
    for refs in _batches(town.refs if plan.posts <= AUTHORS_UP_TO else ()):
        _again(partial(feeds.load, refs, ()))
    for entries in _batches((town.readers[n], ref) for n in range(plan.readers) for ref in town.home(n, KEPT)):
        _again(partial(feeds.load, (), entries))


def _again(load: Callable[[], None]) -> None:
    """Retry a load: a busy Cassandra lets some writes time out. All of them are idempotent."""
    for _ in range(TRIES):
        with suppress(Unavailable):
            load()
            return
    load()


def _sign_in(container: Container, town: Town, number: int) -> None:
    """Add the reader's session, and the low watermark of the timeline."""
    stores, reader, now = container.stores, town.readers[number], town.plan.until
    newest = town.home(number, KEPT)
    if len(newest) == KEPT:
        with stores.relational.transaction() as tx:
            tx.feed_activity.raise_low_watermark(reader, newest[-1].post_id)
    session = Session(container.kit.ids(), reader, "bench", now, now + timedelta(days=30))
    stores.sessions.add(session, digest(town.token(number)))


def _notify(container: Container, town: Town, number: int) -> None:
    """Note 25 likes, an hour apart, each by a different account of a different post."""
    reader, now = town.readers[number], town.plan.until
    for back, ref in enumerate(town.refs[-25:], start=1):
        activity = Activity("like", ref.post_id, town.ids[-back], now - timedelta(hours=back))
        container.stores.feeds.notifications.note(reader, activity, now)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    some = iter(items)
    while batch := list(itertools.islice(some, BATCH)):
        yield batch


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    container = build(Settings.from_env())
    try:
        load(container, Town(plan))
    finally:
        container.close()


if __name__ == "__main__":
    main()
