"""Fills a build's empty stores with a town, through that build's own ports.

Runs as a process of the build (see `builds`), with its `QUARTET_*` settings and the plan as JSON. Of the home timelines
only the readers' are filled; nobody reads the others.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import msgspec

from app.container import Container, build
from app.services.people.sessions import digest
from bench.signed_in.town import Plan, Town
from config import Settings
from repositories.feed_records import Activity
from repositories.records import Login, Session

T = TypeVar("T")
BATCH = 5_000
KEPT = 1_000
AUTHORS_UP_TO = 50_000
# One in so many readers has notifications.
NOTIFIED = 2


def load(container: Container, town: Town) -> None:
    stores, plan = container.stores, town.plan
    stores.migrate()
    for people in _batches(town.accounts()):
        rows = [(one, Login(one.id, f"{one.handle}@example.com", "none")) for one in people]
        with stores.relational.transaction() as tx:
            tx.bulk.accounts(rows, seen_at=plan.until)
    for follows in _batches(town.follows()):
        with stores.relational.transaction() as tx:
            tx.bulk.follows(follows)
    for posts in _batches(town.posts()):
        stores.documents.posts.load(posts)
    for likes in _batches(town.likes()):
        with stores.relational.transaction() as tx:
            tx.bulk.likes(likes)
    for comments in _batches(town.comments()):
        stores.documents.comments.load(comments)
    if plan.posts <= AUTHORS_UP_TO:
        stores.feeds.load(town.refs, ())
    for number in range(plan.readers):
        _settle(container, town, number)
    with ThreadPoolExecutor(container.settings.threads) as pool:
        list(pool.map(lambda number: _notify(container, town, number), range(0, plan.readers, NOTIFIED)))


def _settle(container: Container, town: Town, number: int) -> None:
    """The reader's session, and the timeline as deliveries and back-fills would have left it."""
    stores, reader, now = container.stores, town.readers[number], town.plan.until
    newest = town.home(number, KEPT)
    stores.feeds.load((), ((reader, ref) for ref in newest))
    if len(newest) == KEPT:
        with stores.relational.transaction() as tx:
            tx.feed_activity.raise_low_watermark(reader, newest[-1].post_id)
    session = Session(container.kit.ids(), reader, "bench", now, now + timedelta(days=30))
    stores.sessions.add(session, digest(town.token(number)))


def _notify(container: Container, town: Town, number: int) -> None:
    """Twenty-five things of the last days, each by somebody else to another post."""
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
