"""Helpers for tests of the whole system: people, what they should see, and stores that fail on demand."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from types import MethodType
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from app.container import Container, assemble
from app.services.content.posts import PostDraft
from app.services.feeds.page_windows import Window
from app.services.pages.kinds import AccountStats, PostStats
from app.stores import Stores
from repositories.outbox import Outbox
from repositories.records.graph import Follow
from repositories.records.people import Account, Login
from tests.apps import PlainHasher

T = TypeVar("T")
ALL = 100_000


class SteppedClock:
    """A clock that a test sets. It advances by a millisecond with each reading, so that no two times are equal."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(days=1)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class ReportingStore:
    """A store that reports each call to `notice`, before and after it. The call raises whatever `notice` raises."""

    def __init__(self, inner: Any, notice: Callable[[str], None], path: str = "") -> None:
        self._inner = inner
        self._notice = notice
        self._path = path

    def __getattr__(self, name: str) -> Any:
        found, path = getattr(self._inner, name), self._path + name
        return (
            self._reporting(found, path)
            if isinstance(found, MethodType)
            else ReportingStore(found, self._notice, f"{path}.")
        )

    def _reporting(self, method: Callable[..., Any], path: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._notice(f"before {path}")
            result = method(*args, **kwargs)
            self._notice(f"after {path}")
            return result

        return call


def watched(store: T, notice: Callable[[str], None], role: str = "") -> T:
    return cast("T", ReportingStore(store, notice, role and f"{role}."))


def with_stores(container: Container, **changed: Any) -> Container:
    """The same system with some of its stores replaced."""
    stores: Stores = replace(container.stores, **changed)
    return assemble(container.settings, stores, container.kit.clock, PlainHasher())


def post_stats(container: Container, posts: Collection[UUID]) -> dict[UUID, PostStats]:
    """The counts as cards show them, from the cache if it has them."""
    found = container.pages.through.get(container.pages.kinds.post_stats, posts)
    return {i: msgspec.json.decode(value.body or b"", type=PostStats) for i, value in found.items()}


def account_stats(container: Container, accounts: Collection[UUID]) -> dict[UUID, AccountStats]:
    """Like `post_stats`, for accounts."""
    found = container.pages.through.get(container.pages.kinds.account_stats, accounts)
    return {i: msgspec.json.decode(value.body or b"", type=AccountStats) for i, value in found.items()}


def people(container: Container, count: int) -> list[UUID]:
    """New accounts, in id order."""
    accounts = [_account(container) for _ in range(count)]
    with container.stores.relational.transaction() as tx:
        rows = [(a, Login(a.id, f"{a.handle}@example.com", f"plain:{a.handle}")) for a in accounts]
        tx.bulk.accounts(rows, seen_at=container.kit.clock())
    return [a.id for a in accounts]


def befriend(container: Container, followers: Collection[UUID], authors: Collection[UUID]) -> None:
    """Each of `followers` follows each of `authors`, with the back-fill done."""
    since = container.kit.clock()
    with container.stores.relational.transaction() as tx:
        tx.bulk.follows([Follow(f, a, since) for f, a in product(followers, authors)])


def publish(container: Container, author: UUID, title: str = "A post") -> UUID:
    return container.content.posts.publish(author, PostDraft(title, "Some words.")).id


def defined(container: Container, reader: UUID) -> list[UUID]:
    """The reader's feed by definition: the existing posts by the reader and the followees, newest first."""
    authors = {reader, *container.stores.relational.graph.followees(reader)}
    return [ref.post_id for ref in container.stores.documents.posts.by_authors(authors, limit=ALL)]


def served(container: Container, reader: UUID, size: int = 100) -> list[UUID]:
    """The reader's feed as it is served, read page by page."""
    return list(_walk(container, reader, size))


def stored(container: Container, reader: UUID) -> list[UUID]:
    """The reader's home timeline in the feed store."""
    return [ref.post_id for ref in container.stores.feeds.home_page(reader, limit=ALL)]


def outboxes(container: Container) -> tuple[Outbox, Outbox]:
    return container.stores.relational.outbox, container.stores.documents.outbox


def unsent(container: Container) -> int:
    return sum(outbox.backlog().unsent for outbox in outboxes(container))


def dead_letters(container: Container) -> dict[UUID, str]:
    """The dead-lettered events, with their reasons."""
    return {p.event.id: p.reason for outbox in outboxes(container) for p in outbox.dead_letters(limit=100)}


def _account(container: Container) -> Account:
    own = container.kit.ids()
    return Account(own, f"p{own.hex[-20:]}", "Somebody", "", None, container.kit.clock(), 1)


def _walk(container: Container, reader: UUID, size: int) -> Iterator[UUID]:
    window = Window(limit=size)
    while True:
        page = container.pages.cards.home(reader, window)
        yield from page.ids
        if page.onward is None:
            return
        window = Window(limit=size, before=page.onward)
