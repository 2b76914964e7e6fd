"""Measures the feed store alone, on each of its engines: entries written per second, and the cost of a page."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from uuid import UUID, uuid4

import click
from msgspec import Struct

from app.ids import uuid7
from bench.feed.figures import Figures, spread
from repositories.batched import batched
from repositories.feeds import FeedStore, open_store
from repositories.records.content import PostRef
from tests.contracts.relational_store import new_database
from tests.engines import Engines

# The same as the default of `QUARTET_FANOUT_CHUNK`.
CHUNK = 2500
SPAN = timedelta(days=80)
RETENTION = timedelta(days=90)
Stores = dict[str, FeedStore]
Page = Callable[[FeedStore, UUID], list[PostRef]]


class Scale(Struct, frozen=True):
    """Each of `owners` timelines has `posts` entries. Each round pushes one more to all of them."""

    owners: int
    posts: int
    rounds: int


def measure(engines: Engines, scale: Scale) -> None:
    owners, author = [uuid4() for _ in range(scale.owners)], uuid4()
    posts = _posts(author, scale.posts)
    with _stores(engines) as stores:
        for name, store in stores.items():
            _load(name, store, owners, posts)
        _pushes(stores, owners, author, scale.rounds)
        _pages(stores, owners, author, scale.rounds)


@contextmanager
def _stores(engines: Engines) -> Iterator[Stores]:
    urls = {
        "Cassandra": engines.cassandra().url,
        "PostgreSQL": new_database(engines.postgres()),
        "SQLite": f"sqlite:///{Path(tempfile.mkdtemp()) / 'feeds.db'}",
    }
    with ExitStack() as opened:
        stores = {
            name: opened.enter_context(
                closing(open_store(url, timeout=timedelta(seconds=30), pool=4, retention=RETENTION))
            )
            for name, url in urls.items()
        }
        for store in stores.values():
            store.migrate()
        yield stores


def _posts(author: UUID, count: int) -> list[PostRef]:
    """Posts over `SPAN`, oldest first."""
    begin, step = datetime.now(UTC) - SPAN, SPAN / count
    return [PostRef(uuid7(begin + step * number, number), author) for number in range(count)]


def _load(name: str, store: FeedStore, owners: list[UUID], posts: list[PostRef]) -> None:
    began = perf_counter()
    store.load(posts, ((owner, post) for owner in owners for post in posts))
    seconds = perf_counter() - began
    click.echo(f"  {name}: {len(owners) * len(posts):,} entries loaded, {len(owners) * len(posts) / seconds:,.0f}/s")


def _pushes(stores: Stores, owners: list[UUID], author: UUID, rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(rounds):
        at = datetime.now(UTC)
        post = PostRef(uuid7(at, 0), author)
        for name, store in stores.items():
            began = perf_counter()
            for some in batched(owners, CHUNK):
                store.push(post, some, at)
            rates[name].append(len(owners) / (perf_counter() - began))
    for name, found in rates.items():
        click.echo(f"  {name}: {spread(found)} pushed entries/s")


def _pages(stores: Stores, owners: list[UUID], author: UUID, rounds: int) -> None:
    middle = uuid7(datetime.now(UTC) - SPAN / 2, 0)
    pages: dict[str, Page] = {
        "newest 20 of a home timeline": lambda store, owner: store.home_page(owner, limit=20),
        "20 in its middle": lambda store, owner: store.home_page(owner, before=middle, limit=20),
        "newest 20 above a low watermark": lambda store, owner: store.home_page(owner, limit=20, low_watermark=middle),
        "newest 20 of an author timeline": lambda store, _: store.author_page(author, limit=20),
    }
    for what, page in pages.items():
        assert len({tuple(page(store, owners[0])) for store in stores.values()}) == 1
        figures = Figures()
        turns = {name: cycle(owners) for name in stores}
        works = {name: partial(_turn, page, store, turns[name]) for name, store in stores.items()}
        figures.measure(works, rounds, 50)
        medians = ", ".join(f"{name} {figures.percentile(name, 0.5):.2f}" for name in stores)
        click.echo(f"  {what}: {medians} ms")


def _turn(page: Page, store: FeedStore, owners: Iterator[UUID]) -> list[PostRef]:
    return page(store, next(owners))
