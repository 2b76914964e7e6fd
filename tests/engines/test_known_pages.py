"""A kept page that its client has stays in Redis: the answer says so all the same, byte for byte as the view does."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from app.services.feeds.page_windows import Window
from app.services.pages.compression import LEAST_BYTES
from config import Settings
from repositories import meter
from repositories.hot.encoding import LEAST_LEFT_OUT
from tests.apps import embedded, running
from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.http.pages import CODED, ETAG, HEADERS
from tests.http.test_home_hits import Feed
from tests.http.world import Shifted

LONG = "A lamp of brass, lit. " * 40
# MessagePack's bytes before a body.
HEAD = 6


@pytest.fixture
def feed(tmp_path_factory: pytest.TempPathFactory, engines: Engines) -> Iterator[Feed]:
    clock, settings = Shifted(), embedded(tmp_path_factory.mktemp("known")) | {"cache_url": engines.cache().url}
    with running(Settings(**settings), clock) as system:
        states = system.container.pages.home.states
        assert states
        states.steady = 0
        yield Feed(system, clock)


def fetched(feed: Feed, known: str) -> bytes | None:
    """What comes from the cache for the reader's first page."""
    page = feed.system.container.pages.home.find(UUID(feed.reader.account["id"]), Window(limit=20), known).page
    return page.body if page else None


def test_it_is_answered_without_being_fetched(feed: Feed) -> None:
    for number in range(3):
        feed.author.publish(f"{number} {LONG}"[:100])
        feed.author.publish(f"Long {number}", body=LONG)
    slow = feed.warmed()
    etag = slow.header("ETag") or ""
    assert wait_until(lambda: feed.viewed().body == slow.body and fetched(feed, etag) == b"", 5)
    assert fetched(feed, f'"{uuid4().hex[:16]}"') == slow.body
    for headers in HEADERS:
        sent = {n: one.replace(ETAG, etag).replace(CODED, f'{etag[:-1]}-gzip"') for n, one in headers.items()}
        for method in ("GET", "HEAD"):
            assert feed.kept("", method, **sent).same() == feed.viewed("", method, **sent).same(), (method, sent)
    feed.author.publish("New")
    assert fetched(feed, etag) != b""
    assert feed.fast("/api/v1/feed", **feed.bearer, If_None_Match=etag).status == "200 OK"


def test_what_is_not_kept_is_looked_for_once(feed: Feed) -> None:
    feed.warmed()
    home, reader = feed.system.container.pages.home, UUID(feed.reader.account["id"])
    assert wait_until(lambda: home.find(reader, Window(limit=20)).page is not None, 5)
    with meter.tally() as calls:
        found = home.find(reader, Window(limit=7))
    assert (found.page, bool(found.key), calls.trips()["cache"]) == (None, True, 1)


def test_what_is_left_out_would_have_been_compressed() -> None:
    assert LEAST_LEFT_OUT - HEAD >= LEAST_BYTES
