"""MongoDB refused, frozen or killed: calls end in time, nothing acknowledged is lost, and the adapter recovers."""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Event as Signal
from typing import Any
from uuid import UUID, uuid4

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from repositories.documents import DocumentStore, open_store
from repositories.errors import Contention, Unavailable
from repositories.records.content import Comment
from repositories.records.events import Event
from repositories.records.products import ProductFilter
from tests.contracts.document_store import (
    NOW,
    a_comment,
    a_post,
    a_product,
    an_event,
    announced,
    at,
    commented,
    dispatch_all,
    offered,
    published,
)
from tests.engines.slack import SLACK

from . import Engines, Server
from .kernel import free_port

TIMEOUT = timedelta(seconds=0.5)
PATIENCE = SLACK
RECOVERY = 60.0

CALLS: dict[str, Callable[[DocumentStore], Any]] = {
    "ping": lambda store: store.ping(),
    "migrate": lambda store: store.migrate(),
    "posts.add": lambda store: store.posts.add(a_post(tags=("a",)), an_event()),
    "posts.get": lambda store: store.posts.get([uuid4()]),
    "posts.replace": lambda store: store.posts.replace(a_post(), an_event(), if_version=1),
    "posts.delete": lambda store: store.posts.delete(uuid4(), an_event(), if_version=1),
    "posts.page": lambda store: store.posts.page(before=None, limit=1),
    "posts.in_flight": lambda store: store.posts.in_flight([uuid4()], limit=1),
    "posts.by_authors": lambda store: store.posts.by_authors([uuid4() for _ in range(300)], limit=1),
    "posts.ids": lambda store: store.posts.ids(after=None, limit=1),
    "posts.counts": lambda store: store.posts.counts([uuid4()]),
    "posts.tags": lambda store: store.posts.tags(after=None, limit=1),
    "posts.load": lambda store: store.posts.load([a_post()]),
    "comments.add": lambda store: store.comments.add(uuid4(), uuid4(), "Body", NOW, announced),
    "comments.page": lambda store: store.comments.page(uuid4(), after=None, limit=1),
    "comments.delete": lambda store: store.comments.delete(uuid4(), 1, an_event()),
    "comments.recount": lambda store: store.comments.recount([uuid4()], repair=True),
    "comments.load": lambda store: store.comments.load([a_comment(uuid4(), 1)]),
    "products.add": lambda store: store.products.add(a_product(), an_event()),
    "products.facets": lambda store: store.products.facets(ProductFilter(), sample=1, values=1),
    "outbox.claim": lambda store: store.outbox.claim(now=NOW, lease_until=at(60), limit=1),
    "outbox.acknowledge": lambda store: store.outbox.acknowledge([]),
    "outbox.backlog": lambda store: store.outbox.backlog(),
}


@pytest.fixture
def server(own_engines: Engines) -> Iterator[Server]:
    yield own_engines.mongo()
    own_engines.heal()


@pytest.fixture
def url(server: Server) -> str:
    base, options = server.url.split("?")
    return f"{base.rsplit('/', 1)[0]}/faults_{uuid4().hex[:8]}?{options}"


@pytest.fixture
def store(url: str) -> Iterator[DocumentStore]:
    store = open_store(url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def patient(url: str) -> Iterator[DocumentStore]:
    """A store on the same database, with a timeout long enough to read all of it."""
    store = open_store(url, timeout=timedelta(seconds=10), pool=1)
    yield store
    store.close()


def ends_in_time(call: Callable[[], Any]) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        call()
    assert caught.value.store == "documents"
    assert time.monotonic() - begun < TIMEOUT.total_seconds() + PATIENCE


def eventually(call: Callable[[], Any]) -> Any:
    """Repeat a call until the adapter has recovered."""
    deadline = time.monotonic() + RECOVERY
    while True:
        try:
            return call()
        except (Unavailable, Contention):
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("name", ["ping", "posts.get", "posts.add", "comments.add", "outbox.claim"])
def test_calls_to_a_refusing_server_end_in_time(name: str) -> None:
    store = open_store(f"mongodb://127.0.0.1:{free_port()}/q?replicaSet=rs0", timeout=TIMEOUT, pool=2)
    ends_in_time(lambda: CALLS[name](store))
    store.close()


def test_calls_to_a_frozen_server_end_in_time(server: Server, store: DocumentStore) -> None:
    kept = published(store)
    server.pause()
    for call in CALLS.values():
        ends_in_time(partial(call, store))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: ends_in_time(lambda: store.posts.get([kept.id])), range(16)))
    server.resume()
    assert eventually(lambda: store.posts.get([kept.id])) == {kept.id: kept}
    assert eventually(lambda: commented(store, kept)).post_id == kept.id


def test_a_transaction_on_a_frozen_server_ends_in_time(server: Server, store: DocumentStore) -> None:
    """An open transaction would lock the post for up to a minute, for comments and for relays that claim its events."""
    post = published(store)

    def announce(comment: Comment) -> Event:
        server.pause()
        return announced(comment)

    ends_in_time(lambda: store.comments.add(post.id, uuid4(), "Body", NOW, announce))
    server.resume()
    assert eventually(store.ping) is None
    assert commented(store, post).post_id == post.id
    assert [event.aggregate for event in dispatch_all(store, at(3600))] == [str(post.id), f"{post.id}/1"]


def test_a_transaction_is_retried_on_a_transient_transaction_error(store: DocumentStore) -> None:
    """A router (mongos) reports by an error label, with various codes, that documents moved to another shard."""
    post = published(store)
    moved = {"errorLabels": ["TransientTransactionError"]}
    said = [OperationFailure("the epoch has changed", 13388, moved), OperationFailure("it was aborted", 251, moved)]

    def announce(comment: Comment) -> Event:
        if said:
            raise said.pop()
        return announced(comment)

    assert store.comments.add(post.id, uuid4(), "Body", NOW, announce).number == 1
    assert said == []


def test_a_process_killed_in_a_transaction_delays_only_events_of_its_post(url: str, store: DocumentStore) -> None:
    """Its transaction stays open on the server, and with it a lock on the post."""
    locked, *free = [published(store) for _ in range(5)]
    with MongoClient[dict[str, Any]](url, uuidRepresentation="standard") as dead, dead.start_session() as session:
        session.start_transaction()
        dead.get_default_database()["posts"].update_one({"_id": locked.id}, {"$inc": {"comments": 1}}, session=session)
        claims = store.outbox.claim(now=at(60), lease_until=at(120), limit=10)
        assert [claim.event.aggregate for claim in claims] == [str(post.id) for post in free]
        session.abort_transaction()
    claims = store.outbox.claim(now=at(60), lease_until=at(120), limit=10)
    assert [claim.event.aggregate for claim in claims] == [str(locked.id)]


def test_a_long_transaction_lifetime_limit_is_logged_once(
    url: str, store: DocumentStore, caplog: pytest.LogCaptureFixture
) -> None:
    parameter = "transactionLifetimeLimitSeconds"
    with MongoClient[dict[str, Any]](url) as admin:
        admin.admin.command({"setParameter": 1, parameter: 60})
        try:
            other = open_store(url, timeout=timedelta(seconds=5), pool=1)
            other.ping()
            other.ping()
            other.close()
        finally:
            admin.admin.command({"setParameter": 1, parameter: 5})
    store.ping()
    assert [record.getMessage().count(f"60 s; set {parameter}=5") for record in caplog.records] == [1]


def test_a_server_killed_between_calls_is_used_again(server: Server, store: DocumentStore) -> None:
    kept = published(store)
    server.kill()
    ends_in_time(lambda: store.posts.get([kept.id]))
    server.restart()
    assert eventually(lambda: store.posts.get([kept.id])) == {kept.id: kept}


@pytest.mark.proof
def test_a_server_killed_during_writes_loses_nothing_acknowledged(
    server: Server, store: DocumentStore, patient: DocumentStore
) -> None:
    target = published(store)
    acknowledged: dict[str, list[Any]] = {"posts": [], "products": [], "comments": []}
    stop = Signal()

    def write(kind: str, act: Callable[[], Any]) -> None:
        while not stop.is_set():
            try:
                acknowledged[kind].append(act())
            except (Unavailable, Contention):
                continue

    acts = {
        "posts": lambda: published(store, tags=("t",)),
        "products": lambda: offered(store),
        "comments": lambda: commented(store, target),
    }
    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write, kind, act) for kind, act in acts.items() for _ in range(2)]
        try:
            for rounds in range(1, 3):
                wait_for(partial(all_longer_than, 25 * rounds, acknowledged))
                server.kill()
                server.restart()
        finally:
            stop.set()
        for writer in writers:
            writer.result()
    assert eventually(lambda: store.posts.get([target.id]))
    assert_all_there(patient, target.id, acknowledged)


def all_longer_than(least: int, acknowledged: dict[str, list[Any]]) -> bool:
    return all(len(written) > least for written in acknowledged.values())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RECOVERY
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_all_there(store: DocumentStore, target: UUID, acknowledged: dict[str, list[Any]]) -> None:
    posts = {post.id: post for post in acknowledged["posts"]}
    assert store.posts.get(posts) == posts
    products = {product.id: product for product in acknowledged["products"]}
    assert store.products.get(products) == products
    comments = {comment.number: comment for comment in acknowledged["comments"]}
    found = store.comments.page(target, after=None, limit=10_000)
    assert [comment.number for comment in found] == list(range(1, len(found) + 1))
    assert comments.items() <= {comment.number: comment for comment in found}.items()
    assert store.comments.counts([target]) == {target: len(found)}
    aggregates = [event.aggregate for event in dispatch_all(store, at(3600))]
    wanted = itertools.chain(posts, products, (f"{target}/{number}" for number in comments))
    assert {str(one) for one in wanted} <= set(aggregates)
