"""PostgreSQL behind PgBouncer in transaction mode, from the distribution's package."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from repositories.documents import open_store as open_documents
from repositories.hot import Fill, Rate, Value, lease_of, stored_under
from repositories.records.graph import Follow
from repositories.relational import RelationalStore
from tests.contracts.document_store import a_post, commented, dispatch_all, published
from tests.contracts.relational_store import NOW, new_database, opened, register
from tests.engines import Server, Shared
from tests.engines.kernel import free_port
from tests.engines.postgres import unprivileged_user
from tests.engines.relational.calls import LIMIT, POOL, TIMEOUT, fails_within, read, write
from tests.engines.test_hot_postgres_faults import NOW as HOT_NOW
from tests.engines.test_hot_postgres_faults import calls, event, session
from tests.engines.test_hot_postgres_faults import opened as opened_hot

# All clients share one server connection, so each transaction would find session state that another one left.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=quartet
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
"""


@pytest.fixture(scope="module")
def pooler(engines: Shared) -> Iterator[str]:
    """The URL of an empty database behind a pooler."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        if os.environ.get("QUARTET_ENGINES") == "required":
            pytest.fail("PgBouncer is missing: install the package pgbouncer")
        pytest.skip("PgBouncer is missing: install the package pgbouncer")
    url, port, folder = urlsplit(new_database(engines.postgres())), free_port(), Path(tempfile.mkdtemp())
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=url.port, port=port))
    user = unprivileged_user()
    if user is not None:
        os.chown(folder, user, user)
    through = url._replace(netloc=f"quartet@127.0.0.1:{port}").geturl()
    server = Server(through, [binary, str(file)], folder, lambda: _answers(through), user=user)
    server.start()
    yield f"{through}?pool_mode=transaction"
    server.discard()
    shutil.rmtree(folder)


@pytest.fixture
def store(pooler: str) -> Iterator[RelationalStore]:
    with opened(pooler, timeout=TIMEOUT, pool=POOL) as store:
        store.migrate()
        yield store


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_statements_prepared_by_two_clients_do_not_collide(store: RelationalStore, pooler: str) -> None:
    with opened(pooler, timeout=TIMEOUT, pool=POOL) as other:
        for each in (store, other) * 8:
            ada, bob = register(each, 2)
            with each.transaction() as unit:
                unit.graph.follow(Follow(ada, bob, NOW))
            assert [list(one.graph.followees(ada)) for one in (store, other)] == [[bob], [bob]]


def test_every_transaction_sets_its_timeouts_and_leaves_none_behind(store: RelationalStore, pooler: str) -> None:
    plain = pooler.partition("?")[0]
    asked = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    with psycopg.connect(plain, autocommit=True) as connection:
        before = connection.execute(asked).fetchone()
    read(store)
    write(store)
    with psycopg.connect(plain, autocommit=True) as connection:
        assert connection.execute(asked).fetchone() == before
    with psycopg.connect(plain) as blocker:
        blocker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        # The blocker holds the only server connection.
        fails_within(LIMIT, lambda: read(store))
    read(store)


def test_documents_work_through_it(pooler: str) -> None:
    with (
        closing(open_documents(pooler, timeout=TIMEOUT, pool=POOL)) as one,
        closing(open_documents(pooler, timeout=TIMEOUT, pool=POOL)) as other,
    ):
        assert one.migrate()
        assert other.migrate() == []
        for store in (one, other) * 4:
            post = published(store, tags=("a",))
            comment = commented(store, post)
            assert [each.comments.page(post.id, after=None, limit=9) for each in (one, other)] == [[comment]] * 2
            assert [event.aggregate for event in dispatch_all(store)] == [str(post.id), f"{post.id}/1"]
        one.posts.load([a_post(tags=("a", "b"))])
        assert [(found.tag, found.posts) for found in other.posts.tags(after=None, limit=9)] == [("a", 9), ("b", 1)]


def test_hot_data_works_through_it_and_listeners_poll(pooler: str) -> None:
    with ExitStack() as stack:
        sessions, (cache, streams, limits, views) = hot = opened_hot(pooler, stack, TIMEOUT)
        made, digest = session(), uuid4().bytes
        sessions.add(made, digest)
        assert sessions.find(digest, now=HOT_NOW) == made
        lease = lease_of(cache, "key")
        assert lease
        assert stored_under(cache, "key", Fill(lease, Value(b"body"), 60))
        assert cache.read(["key"])[0]
        assert not streams.watch(lambda _: None)
        start = streams.listen(made.account_id)
        streams.append([made.account_id], event())
        assert streams.since([(made.account_id, start)], limit=9)[0].events == (event(),)
        assert [limits.take("key", Rate(0.001, 1)).allowed for _ in range(2)] == [True, False]
        views.add({made.id: 2})
        batch = views.take(9)
        assert batch
        assert batch.counts == {made.id: 2}
        for call in calls(hot):
            call()
