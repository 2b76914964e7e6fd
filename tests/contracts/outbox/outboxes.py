"""Outboxes, and commands on them, for tests."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from msgspec import Struct

from repositories import documents
from repositories.outbox import Claim, Outbox
from repositories.records.content import Post
from repositories.records.events import Event
from tests.contracts.relational_store import NOW, TIMEOUT, opened

T = TypeVar("T")

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(minutes=1)
LAST = datetime(2100, 1, 1, tzinfo=UTC)


class WritableOutbox(Struct, frozen=True):
    """An outbox. `put` writes an event together with a change of its aggregate."""

    outbox: Outbox
    put: Callable[[Event], None]


def relational_box(url: str, stack: ExitStack) -> WritableOutbox:
    store = stack.enter_context(opened(url))
    store.migrate()

    def put(event: Event) -> None:
        with store.transaction() as unit:
            unit.emit(event)

    return WritableOutbox(store.outbox, put)


def documents_box(url: str, stack: ExitStack) -> WritableOutbox:
    """An outbox of documents. Each aggregate is a post: adding it writes its first event, changing it the others."""
    store = documents.open_store(url, timeout=TIMEOUT, pool=8)
    stack.callback(store.close)
    store.migrate()
    posts: dict[str, Post] = {}

    def put(event: Event) -> None:
        old = posts.get(event.aggregate)
        version = old.version + 1 if old else 1
        post = Post(old.id if old else uuid4(), UUID(int=1), "t", "b", (), (), NOW, NOW, version)
        if old:
            store.posts.replace(post, event, if_version=old.version)
        else:
            store.posts.add(post, event)
        posts[event.aggregate] = post

    return WritableOutbox(store.outbox, put)


def event(aggregate: str = "", at: datetime = NOW, payload: bytes = b"{}") -> Event:
    return Event(uuid4(), "happened", aggregate or uuid4().hex, at, payload)


def put(box: WritableOutbox, number: int, aggregate: str = "") -> list[Event]:
    """Put events a microsecond apart, all before NOW: of one aggregate, or each of its own if none is given."""
    events = [event(aggregate, NOW - MICROSECOND * (number - turn)) for turn in range(number)]
    for one in events:
        box.put(one)
    return events


def claim(box: WritableOutbox, now: datetime = NOW, until: datetime = LATER, limit: int = 100) -> list[Claim]:
    return box.outbox.claim(now=now, lease_until=until, limit=limit)


def events_of(claims: list[Claim]) -> list[Event]:
    return [one.event for one in claims]


def dispatch_all(box: WritableOutbox, now: datetime = NOW, limit: int = 100) -> list[Event]:
    """Claim and acknowledge all events. Returns them in that order."""
    dispatched: list[Event] = []
    while claims := claim(box, now, limit=limit):
        dispatched += events_of(claims)
        box.outbox.acknowledge(claims)
    return dispatched


def of_aggregate(events: list[Event], aggregate: str) -> list[Event]:
    return [one for one in events if one.aggregate == aggregate]


def in_threads(works: list[Callable[[], T]]) -> list[T]:
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))
