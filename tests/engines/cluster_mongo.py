"""Three members of a MongoDB replica set, one of which dies or freezes. Run by `make test-clusters`."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from repositories.documents import Documents, open_store
from repositories.errors import Unavailable
from repositories.records import Post
from tests.contracts.documents import published
from tests.engines import Server, mongo
from tests.engines.home import Home
from tests.engines.kernel import wait_until

TIMEOUT = timedelta(seconds=2.5)
POOL = 4
POSTS = 20


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
def whole(members: list[Server]) -> Iterator[list[Server]]:
    """The members, all of which are there, and are again afterwards."""
    yield members
    for server in members:
        if not server.running:
            server.restart()
        elif server.paused:
            server.resume()
    assert wait_until(lambda: mongo.complete(members), 60)


def opened(servers: list[Server]) -> Documents:
    return open_store(servers[0].url, timeout=TIMEOUT, pool=POOL)


def put(store: Documents) -> Post | None:
    """A post, if it was acknowledged."""
    try:
        return published(store)
    except Unavailable:
        return None


@pytest.mark.parametrize("fault", [Server.kill, Server.pause])
def test_another_member_takes_over_and_has_all_that_was_acknowledged(whole: list[Server], fault: object) -> None:
    with closing(opened(whole)) as store:
        kept = [put(store) for _ in range(POSTS)]
        assert None not in kept
        assert callable(fault)
        fault(mongo.primary(whole))
        assert wait_until(lambda: put(store) is not None, 60)
        assert store.notes() == ["1 of 3 members do not answer"]
        ids = [post.id for post in kept if post is not None]
        assert sorted(store.posts.get(ids)) == sorted(ids)
