"""Documents on PostgreSQL: refused, frozen, killed, read-only, and with concurrent writers of the same rows."""

import random
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from repositories.documents import DocumentStore, open_store
from repositories.errors import Contention, NotFound, ReadOnly, Stale
from repositories.records.content import Comment, Post
from repositories.records.events import Event
from tests.contracts.document_store import TIMEOUT as PATIENT
from tests.contracts.document_store import (
    an_event,
    announced,
    at,
    at_once,
    commented,
    dispatch_all,
    edited,
    offered,
    published,
)
from tests.contracts.relational_store import new_database
from tests.engines.test_documents_faults import CALLS, TIMEOUT, ends_in_time, eventually

from . import Engines, Server
from .kernel import free_port


@pytest.fixture
def server(own_engines: Engines) -> Iterator[Server]:
    yield own_engines.postgres()
    own_engines.heal()


@pytest.fixture
def url(server: Server) -> str:
    return new_database(server)


@pytest.fixture
def store(url: str) -> Iterator[DocumentStore]:
    with closing(open_store(url, timeout=TIMEOUT, pool=8)) as store:
        store.migrate()
        yield store


@pytest.mark.parametrize("name", ["ping", "posts.get", "comments.add"])
def test_calls_to_a_refusing_server_end_in_time(name: str) -> None:
    with closing(open_store(f"postgresql://127.0.0.1:{free_port()}/q", timeout=TIMEOUT, pool=2)) as store:
        ends_in_time(partial(CALLS[name], store))


def test_calls_to_a_frozen_server_end_in_time(server: Server, store: DocumentStore) -> None:
    kept = published(store)

    def announce(comment: Comment) -> Event:
        server.pause()
        return announced(comment)

    ends_in_time(lambda: store.comments.add(kept.id, uuid4(), "Body", at(0), announce))
    for name in ("ping", "posts.add", "posts.load", "outbox.claim"):
        ends_in_time(partial(CALLS[name], store))
    server.resume()
    assert eventually(lambda: store.posts.get([kept.id])) == {kept.id: kept}
    assert eventually(lambda: commented(store, kept)).post_id == kept.id


def test_a_killed_server_loses_nothing_after_its_restart(server: Server, store: DocumentStore) -> None:
    kept = published(store)
    comment = commented(store, kept)
    server.kill()
    ends_in_time(lambda: store.posts.get([kept.id]))
    server.restart()
    assert eventually(lambda: store.posts.get([kept.id])) == {kept.id: kept}
    assert store.comments.page(kept.id, after=None, limit=9) == [comment]
    assert [event.aggregate for event in dispatch_all(store, at(3600))] == [str(kept.id), f"{kept.id}/1"]


def test_calls_to_a_read_only_server_raise_read_only(url: str, store: DocumentStore) -> None:
    kept = published(store)
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(url, autocommit=True) as own:
        own.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        store.close()
        for call in (store.ping, lambda: published(store), lambda: commented(store, kept)):
            with pytest.raises(ReadOnly):
                call()
        own.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    assert eventually(lambda: store.posts.get([kept.id])) == {kept.id: kept}


def test_a_transaction_left_open_holds_up_only_its_own_post(url: str, store: DocumentStore) -> None:
    locked, *_ = posts = [published(store) for _ in range(3)]
    with psycopg.connect(url) as other:
        other.execute("UPDATE documents_posts SET comments = comments + 1 WHERE id = %s", [locked.id])
        claims = store.outbox.claim(now=at(60), lease_until=at(120), limit=10)
        assert [claim.event.aggregate for claim in claims] == [str(post.id) for post in posts]
        store.outbox.acknowledge(claims[1:])
        with pytest.raises(Contention):
            store.outbox.acknowledge(claims[:1])
        other.rollback()
    store.outbox.acknowledge(claims[:1])
    assert store.outbox.backlog().unsent == 0


def test_concurrent_writers_leave_no_orphaned_rows_or_events(url: str) -> None:
    """Deleted documents leave no rows and no events. The others are not left in flight and have correct counts."""
    with closing(open_store(url, timeout=PATIENT, pool=16)) as store:
        store.migrate()
        posts = [published(store, tags=(f"t{n % 3}",)) for n in range(8)]
        products = [offered(store, attributes={"n": n}) for n in range(4)]

        def relay() -> list[Event]:
            """Claim with leases that end at once, so that several relays acknowledge the same events."""
            done: list[Event] = []
            for moment in range(60):
                claims = store.outbox.claim(now=at(moment), lease_until=at(moment), limit=7)
                store.outbox.acknowledge(claims)
                done += [claim.event for claim in claims]
            return done

        def people(seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311  a test
            for _ in range(40):
                with suppress(NotFound, Stale, Contention):
                    act(store, chance, posts)
            for product in chance.sample(products, 2):
                with suppress(NotFound, Stale):
                    store.products.delete(product.id, an_event(product.id), if_version=1)

        results = at_once([*(partial(people, seed) for seed in range(6)), relay, relay])
        assert [one for one in results if isinstance(one, Exception)] == []
        dispatch_all(store, at(3600))
        assert store.comments.recount([post.id for post in posts], repair=False) == {}
        assert remaining_rows(url) == dict.fromkeys(("events", "tombstones", "in flight", "orphans"), 0)


def act(store: DocumentStore, chance: random.Random, posts: list[Post]) -> None:
    post = chance.choice(posts)
    kind = chance.random()
    if kind < 0.6:
        commented(store, post)
    elif kind < 0.8:
        store.comments.delete(post.id, chance.randint(1, 10), an_event(post.id))
    elif kind < 0.95:
        edited(store, stored_post(store, post))
    else:
        store.posts.delete(post.id, an_event(post.id), if_version=stored_post(store, post).version)


def stored_post(store: DocumentStore, post: Post) -> Post:
    there = store.posts.get([post.id])
    if not there:
        raise NotFound
    return there[post.id]


LEFT = {
    "events": "SELECT count(*) FROM documents_events",
    "in flight": "SELECT count(*) FROM documents_posts WHERE in_flight",
    "tombstones": """SELECT (SELECT count(*) FROM documents_posts WHERE document IS NULL)
        + (SELECT count(*) FROM documents_comments WHERE document IS NULL)
        + (SELECT count(*) FROM documents_products WHERE document IS NULL)""",
    "orphans": """SELECT count(*) FROM documents_comments
        WHERE NOT EXISTS (SELECT 1 FROM documents_posts WHERE id = post_id)""",
}


def remaining_rows(url: str) -> dict[str, Any]:
    with psycopg.connect(url) as own:
        return {what: own.execute(sql.encode()).fetchall()[0][0] for what, sql in LEFT.items()}
