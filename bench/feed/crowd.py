"""Systems on the shared servers, and accounts and follows in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from app.container import Container, build
from app.ids import Ids
from config import Settings
from repositories.batched import batched
from repositories.records.content import Post, PostRef
from repositories.records.graph import Follow
from repositories.records.people import Account, Login
from tests.apps import PlainHasher
from tests.contracts.relational_store import new_database
from tests.engines import Engines

BATCH = 5_000
# Seconds: bulk loads take longer than calls of a request may.
PATIENCE = 20.0
PASSWORD = "none"  # noqa: S105 - compared by a hasher that does not hash


@contextmanager
def system(engines: Engines, **changes: Any) -> Iterator[Container]:
    """A container with new, empty stores; only sessions and cache are shared."""
    name = f"bench_{uuid4().hex[:12]}"
    settings: dict[str, Any] = {
        "relational_url": new_database(engines.postgres()),
        "documents_url": engines.mongo().url.replace("/quartet", f"/{name}"),
        "feeds_url": engines.cassandra().url.replace("/quartet", f"/{name}"),
        "sessions_url": engines.sessions().url,
        "cache_url": engines.cache().url,
        **{f"{role}_timeout": PATIENCE for role in ("relational", "documents", "feeds", "cache")},
    }
    container = build(Settings(**settings | changes), hasher=PlainHasher())
    try:
        container.stores.migrate()
        yield container
    finally:
        container.close()


def register(container: Container, names: Sequence[str]) -> list[Account]:
    """Register accounts that were all seen just now."""
    ids, now = Ids(), datetime.now(UTC)
    people = [Account(ids(), f"person_{name}", "Somebody", "", None, now, 1) for name in names]
    for some in batched(people, BATCH):
        rows = [(one, Login(one.id, f"{one.handle}@example.com", f"plain:{PASSWORD}")) for one in some]
        with container.stores.relational.transaction() as tx:
            tx.bulk.accounts(rows, seen_at=now)
    return people


def follow(container: Container, edges: Sequence[tuple[UUID, UUID]]) -> None:
    """Add edges (follower, followee) whose back-fill is done."""
    now = datetime.now(UTC)
    for some in batched(edges, BATCH):
        with container.stores.relational.transaction() as tx:
            tx.bulk.follows([Follow(follower, followee, now) for follower, followee in some])


def post_of(ref: PostRef) -> Post:
    at = datetime.fromtimestamp((ref.post_id.int >> 80) / 1000, UTC)
    return Post(ref.post_id, ref.author_id, "A post", "Some words about a lamp of brass. " * 6, (), (), at, at, 1)
