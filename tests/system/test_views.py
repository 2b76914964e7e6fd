"""Views on their way from a process to the documents: whatever dies in between, no view counts twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis import Redis

from app.clock import utc_now
from app.services.content.views import Views
from repositories.documents import DocumentStore
from repositories.documents import open_store as open_documents
from repositories.errors import Unavailable
from repositories.hot import ViewCounts, open_views
from tests.engines import Shared
from tests.system.real import real_urls

TIMEOUT = timedelta(seconds=10)
NEVER, AT_ONCE = timedelta(hours=1), timedelta()


class ProcessDied(Exception):
    """The death of a process between two calls."""


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.engines)])
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if request.param == "real":
        return real_urls(request.getfixturevalue("engines"), "views", ["documents", "cache"])
    return dict.fromkeys(("documents_url", "cache_url"), f"sqlite:///{tmp_path_factory.mktemp('views')}/views.db")


@pytest.fixture
def documents(urls: dict[str, str]) -> Iterator[DocumentStore]:
    store = open_documents(urls["documents_url"], timeout=TIMEOUT, pool=4)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def buffer(urls: dict[str, str]) -> Iterator[ViewCounts]:
    store = open_views(urls["cache_url"], timeout=TIMEOUT, pool=4)
    store.migrate()
    while batch := store.take(1000):
        store.done(batch.number)
    yield store
    store.close()


def new_views(buffer: ViewCounts, documents: DocumentStore, gathered: timedelta = NEVER) -> Views:
    return Views(buffer, documents, AT_ONCE, gathered)


def viewed(views: Views, post: UUID, times: int = 1) -> None:
    for _ in range(times):
        views.seen(post)


def flushed(views: Views) -> None:
    while views.flush(utc_now()):
        pass


def test_every_view_arrives_once(buffer: ViewCounts, documents: DocumentStore) -> None:
    views, one, two = new_views(buffer, documents), uuid4(), uuid4()
    viewed(views, one, 3)
    viewed(views, two)
    assert views.flush(utc_now()) == 0, "nothing has been sent to the buffer yet"
    views.send()
    assert views.of(one) == 0
    assert views.flush(utc_now()) == 2
    views.send()
    assert views.flush(utc_now()) == 0
    assert (views.of(one), views.of(two)) == (3, 1)
    views.close()


def test_a_process_sends_its_views_in_the_background(buffer: ViewCounts, documents: DocumentStore) -> None:
    views, post, sent = new_views(buffer, documents, AT_ONCE), uuid4(), threading.Event()
    add = buffer.add

    def told(counts: dict[UUID, int]) -> None:
        add(counts)
        sent.set()

    buffer.add = told  # type: ignore[method-assign, assignment]  # to be woken by it
    viewed(views, post)
    assert sent.wait(30)
    views.close()
    flushed(views)
    assert views.of(post) == 1


def test_a_process_that_ends_sends_its_remaining_views(buffer: ViewCounts, documents: DocumentStore) -> None:
    views, post = new_views(buffer, documents), uuid4()
    viewed(views, post, 5)
    views.close()
    views.close()
    flushed(views)
    assert views.of(post) == 5


def test_views_are_flushed_at_their_interval(buffer: ViewCounts, documents: DocumentStore) -> None:
    views, now, post = Views(buffer, documents, timedelta(seconds=5), NEVER), utc_now(), uuid4()
    viewed(views, post)
    assert views.flush(now) == 0
    views.send()
    assert views.flush(now + timedelta(seconds=4.9)) == 0
    assert views.flush(now + timedelta(seconds=5)) == 1
    views.close()


@pytest.mark.parametrize("point", ["taken", "half applied", "applied", "done"])
def test_a_relay_killed_while_flushing_counts_no_view_twice(
    buffer: ViewCounts, documents: DocumentStore, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    views, posts = new_views(buffer, documents), [uuid4() for _ in range(20)]
    for post in posts:
        viewed(views, post, 2)
    views.send()
    with monkeypatch.context() as patch, suppress(ProcessDied):
        _die(patch, point, buffer, documents)
        views.flush(utc_now())
        raise AssertionError("the flush did not die")
    viewed(views, posts[0])
    views.send()
    flushed(new_views(buffer, documents))
    assert documents.views.counts(posts) == {post: 3 if post == posts[0] else 2 for post in posts}
    views.close()


def _die(patch: pytest.MonkeyPatch, point: str, buffer: ViewCounts, documents: DocumentStore) -> None:
    apply, done = documents.views.apply, buffer.done

    def die_before(*_: object) -> None:
        raise ProcessDied

    def die_in(number: int, counts: dict[UUID, int]) -> None:
        apply(number, dict(list(counts.items())[::2]))
        raise ProcessDied

    def die_after(number: int) -> None:
        done(number)
        raise ProcessDied

    where: dict[str, tuple[object, str, Callable[..., None]]] = {
        "taken": (documents.views, "apply", die_before),
        "half applied": (documents.views, "apply", die_in),
        "applied": (buffer, "done", die_before),
        "done": (buffer, "done", die_after),
    }
    patch.setattr(*where[point])


def test_concurrent_relays_count_every_view_once(buffer: ViewCounts, documents: DocumentStore) -> None:
    posts, stop = [uuid4() for _ in range(10)], threading.Event()

    def relay() -> None:
        own = new_views(buffer, documents)
        while not stop.is_set():
            own.flush(utc_now())

    relays = [threading.Thread(target=relay) for _ in range(2)]
    for thread in relays:
        thread.start()
    try:
        views = new_views(buffer, documents)
        for _ in range(20):
            for post in posts:
                viewed(views, post)
            views.send()
    finally:
        stop.set()
        for thread in relays:
            thread.join()
    views.close()
    flushed(views)
    assert documents.views.counts(posts) == dict.fromkeys(posts, 20)


def test_an_unavailable_buffer_loses_only_its_own_views(
    buffer: ViewCounts, documents: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, post = new_views(buffer, documents), uuid4()

    def away(_counts: object) -> None:
        raise Unavailable("cache", "away")

    viewed(views, post)
    with monkeypatch.context() as patch:
        patch.setattr(buffer, "add", away)
        views.send()
    viewed(views, post)
    views.close()
    flushed(views)
    assert views.of(post) == 1


@pytest.mark.engines
def test_a_redis_that_lost_its_data_loses_only_unflushed_views(engines: Shared) -> None:
    """A batch that was taken but not applied is lost as well; no batch is applied twice."""
    found = real_urls(engines, "views", ["documents", "cache"])
    buffer = open_views(found["cache_url"], timeout=TIMEOUT, pool=2)
    documents = open_documents(found["documents_url"], timeout=TIMEOUT, pool=2)
    documents.migrate()
    views, post = new_views(buffer, documents), uuid4()
    viewed(views, post, 2)
    views.send()
    flushed(views)
    viewed(views, post, 3)
    views.send()
    assert buffer.take(1000)
    with Redis.from_url(found["cache_url"]) as redis:
        redis.flushdb()
    viewed(views, post, 4)
    views.close()
    flushed(views)
    assert views.of(post) == 6
    buffer.close()
    documents.close()
