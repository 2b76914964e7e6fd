"""A MongoDB replica set of three: a member dies or freezes; reads go to secondaries that are behind.

Run by `make test-clusters`. `QUARTET_OWN_READS` sets the number of reads that check that clients see their own writes.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.services.commands.idempotency import OpenClaim
from config import Settings
from repositories import read_your_writes
from repositories.documents import DocumentStore, open_store
from repositories.errors import Unavailable
from repositories.records.content import Post
from tests.apps import embedded, running
from tests.contracts.document_store import published
from tests.engines import Server, mongo
from tests.engines.counted import CountingObserver, counted
from tests.engines.home import Home
from tests.engines.kernel import wait_until

__all__ = ["counted"]

TIMEOUT = timedelta(seconds=2.5)
POOL = 4
POSTS = 20
# The minimum share of reads that a secondary answers, although one of the two applies nothing half of the time. The
# share falls with the speed of the machine, since less time passes between a write and its author's next read: 0.66 on
# a slow one, 0.28 to 0.36 on one three times as fast.
SHARE = 0.15
OWN_READS = int(os.environ.get("QUARTET_OWN_READS", "3000"))
# A secondary stops applying operations every `OFTEN` reads, and resumes halfway. Stopping takes up to a second.
OFTEN = 1500
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def members() -> Iterator[list[Server]]:
    home = Home()
    servers = mongo.launch_set(home, 3)
    with closing(opened(servers)) as store:
        store.migrate()
    yield servers
    for server in servers:
        server.discard()
    home.close()


@pytest.fixture
def complete_set(members: list[Server]) -> Iterator[list[Server]]:
    """The members, all of them up. Members that the test killed or froze are brought back afterwards."""
    yield members
    for server in members:
        if not server.running:
            server.restart()
        elif server.paused:
            server.resume()
    assert wait_until(lambda: mongo.complete(members), 60)


def opened(servers: list[Server]) -> DocumentStore:
    return open_store(servers[0].url, timeout=TIMEOUT, pool=POOL)


def put(store: DocumentStore) -> Post | None:
    """Publish a post. Returns it if it was acknowledged."""
    try:
        return published(store)
    except Unavailable:
        return None


@pytest.mark.parametrize("fault", [Server.kill, Server.pause])
def test_another_member_takes_over_with_all_acknowledged_writes(complete_set: list[Server], fault: object) -> None:
    with closing(opened(complete_set)) as store:
        kept = [put(store) for _ in range(POSTS)]
        assert None not in kept
        assert callable(fault)
        fault(mongo.primary(complete_set))
        assert wait_until(lambda: put(store) is not None, 60)
        assert store.notes() == ["1 of 3 members do not answer"]
        ids = [post.id for post in kept if post is not None]
        assert sorted(store.posts.get(ids)) == sorted(ids)


@pytest.fixture
def reader(complete_set: list[Server]) -> Iterator[DocumentStore]:
    url = f"{complete_set[0].url}&readPreference=secondaryPreferred"
    with closing(open_store(url, timeout=TIMEOUT, pool=POOL)) as store:
        store.ping()
        assert wait_until(lambda: [one.serves for one in store.replicas()] == [True, True], 30)
        yield store


def wrote(store: DocumentStore, positions: read_your_writes.Positions, author: UUID) -> read_your_writes.Positions:
    """Publish as a client with these positions. Returns its new positions."""
    with read_your_writes.primary():
        mine = read_your_writes.begin(positions, reads=False)
        published(store, author_id=author)
        return mine.positions


def posts(store: DocumentStore, positions: read_your_writes.Positions, author: UUID) -> int:
    """The number of the author's posts that a client with these positions sees."""
    with read_your_writes.primary():
        read_your_writes.begin(positions, reads=True)
        return len(store.posts.page(before=None, limit=100, author=author))


def test_authors_always_see_their_own_posts_with_lagging_secondaries(
    complete_set: list[Server], reader: DocumentStore, counted: CountingObserver
) -> None:
    random = Random(7)  # noqa: S311  no secret
    written = dict.fromkeys([uuid4() for _ in range(50)], 0)
    positions: dict[UUID, read_your_writes.Positions] = {author: {} for author in written}
    stale = 0
    for number in range(OWN_READS):
        if number % OFTEN in {0, OFTEN // 2}:
            mongo.apply(complete_set, on=number % OFTEN > 0)
        author = random.choice(list(written))
        if random.random() < 0.03:
            positions[author] = wrote(reader, positions[author], author)
            written[author] += 1
        stale += posts(reader, positions[author], author) != written[author]
    mongo.apply(complete_set, on=True)
    assert stale == 0
    log.info("where %d reads went: %s", OWN_READS, counted.reads)
    assert counted.reads["replica"] > OWN_READS * SHARE


def test_other_readers_may_miss_posts_on_a_lagging_secondary(complete_set: list[Server], reader: DocumentStore) -> None:
    author = uuid4()
    mongo.apply(complete_set, on=False)
    positions = wrote(reader, {}, author)
    # Either of the two secondaries may answer.
    assert wait_until(lambda: posts(reader, {}, author) == 0, 20)
    assert [posts(reader, positions, author) for _ in range(50)] == [1] * 50
    mongo.apply(complete_set, on=True)


def test_a_frozen_secondary_or_a_future_position_fails_no_read(
    complete_set: list[Server], reader: DocumentStore, counted: CountingObserver
) -> None:
    author = uuid4()
    positions = wrote(reader, {}, author)
    assert wait_until(lambda: posts(reader, positions, author) == 1 and "replica" in counted.reads, 20)
    future = {"documents": f"{2**31:012x}{1:012x}"}
    assert posts(reader, future, author) == 1
    assert counted.reads["failed"] == 1
    frozen = next(server for server in complete_set if server is not mongo.primary(complete_set))
    frozen.pause()
    for _ in range(50):
        assert posts(reader, positions, author) == 1
    assert wait_until(lambda: [one.serves for one in reader.replicas()].count(True) == 1, 60)


def test_over_http_a_comment_found_by_a_retry_is_seen_in_lists(
    complete_set: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try was stored, and its process died before it recorded the position of the write."""
    url = f"{complete_set[0].url.replace('/quartet?', '/again?')}&readPreference=secondaryPreferred"
    with running(Settings(**embedded(tmp_path) | {"documents_url": url, "documents_timeout": 2.5})) as system:
        ada = system.person()
        keys, sessions = system.container.commands.idempotency, system.container.stores.sessions
        path = f"/posts/{ada.publish()}/comments"

        def die(claim: OpenClaim, *_: object) -> None:
            keys.end_lease(claim)
            raise Unavailable("relational", "gone")

        assert wait_until(lambda: "documents-replica;" in ada.send("GET", path).headers["Server-Timing"], 20)
        mongo.apply(complete_set, on=False)
        for number in range(10):
            sent: dict[str, Any] = {"json": {"body": f"{number}"}, "headers": {"Idempotency-Key": f"{number}"}}
            with monkeypatch.context() as dying:
                dying.setattr(sessions, "note_seen", lambda *_: None)
                dying.setattr(type(keys), "finish", lambda _, claim, *more: die(claim, *more))
                assert ada.send("POST", path, **sent).status_code == 503
            assert ada.send("POST", path, **sent).status_code == 201
            assert ada.get(path)["items"][-1]["comment"]["body"] == f"{number}"
        mongo.apply(complete_set, on=True)


def test_over_http_a_secondary_serves_pages_that_are_not_cached(complete_set: list[Server], tmp_path: Path) -> None:
    url = f"{complete_set[0].url.replace('/quartet?', '/http?')}&readPreference=secondaryPreferred"
    with running(Settings(**embedded(tmp_path) | {"documents_url": url, "documents_timeout": 2.5})) as system:
        ada = system.person()
        first = system.anybody()
        posts = [ada.publish() for _ in range(4)]
        cursor = first.get("/posts", limit=1)["next"]

        def answered() -> bool:
            page = ada.send("GET", "/posts", query_string={"limit": 5, "cursor": cursor})
            assert [item["post"]["id"] for item in page.get_json()["items"]] == posts[2::-1]
            return "documents-replica;" in page.headers["Server-Timing"]

        assert wait_until(answered, 20)
        token = ada.send("POST", "/posts", json={"title": "t", "body": "b"}).headers["Quartet-Seen"]
        assert first.send("GET", "/posts", headers={"Quartet-Seen": token}).status_code == 200
