"""One role in places of one kind, with writes to it and checks for them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from click.testing import CliRunner, Result
from redis import Redis

from app.container import Container, build, open_stores
from app.moved_roles import at, forwarded
from app.moving.command import move
from app.stores import Stores
from config import Settings
from repositories.moving.places import StorePlace
from repositories.records.people import Session
from tests.apps import embedded, running
from tests.contracts.relational_store import new_database
from tests.engines import Fleet, Reachable
from tests.engines.feeds_calls import post

# Database numbers in the Redis server shared by all tests, beyond those that the processes of a run use.
DATABASES = iter(range(30, 61))
Written = Callable[[Stores], bool]


class RoleTraffic(NamedTuple):
    role: str
    settings: Settings
    place: Callable[[], str]

    def at(self, url: str) -> Settings:
        return at(self.settings, self.role, url)

    @contextmanager
    def stores(self, url: str) -> Iterator[Stores]:
        """The stores of a process that has this URL and has not read the mark."""
        with closing(open_stores(self.at(url))) as stores:
            yield stores

    @contextmanager
    def begun(self, url: str) -> Iterator[Stores]:
        """The stores of a process that starts with this URL."""
        with self.stores(url) as stores:
            settings = forwarded(self.at(url), stores)
        with closing(open_stores(settings)) as stores:
            yield stores

    def place_of(self, stores: Stores) -> StorePlace:
        found = stores.by_role()[self.role].place
        assert found
        return found

    def truth(self, url: str) -> str:
        """The place that a process with this URL finds as the truth."""
        with self.stores(url) as stores:
            found: str = getattr(forwarded(self.at(url), stores), f"{self.role}_url")
            return found

    def moved(self, url: str, *words: str) -> Result:
        """Run `quartet move` in a process that has this URL."""
        with self.stores(url) as stores:
            settings = forwarded(self.at(url), stores)
        with closing(build(settings)) as container:
            return self.moved_from(container, *words)

    def moved_from(self, container: Container, *words: str) -> Result:
        """Run `quartet move` in a process that has already found the role's place."""
        return CliRunner().invoke(move, [self.role, *words], obj=lambda: nullcontext(container))

    def write(self, stores: Stores) -> Written:
        """Write something; returns a function that tells whether it is stored."""
        return _WRITES[self.role](stores)


def role_traffic(role: str, kind: str, folder: Path, engines: Callable[[], Fleet[Reachable]]) -> RoleTraffic:
    """A role with places of this kind. For Redis the relational store is migrated as well."""

    def place() -> str:
        name = f"moved_{uuid4().hex[:12]}"
        if kind == "postgres":
            return new_database(engines().postgres())
        if kind == "mongo":
            return engines().mongo().url.replace("/quartet?", f"/{name}?")
        if kind == "cassandra":
            return engines().cassandra().url.replace("/quartet", f"/{name}")
        if kind == "redis":
            url = f"{engines().sessions().url.rpartition('/')[0]}/{next(DATABASES)}"
            with Redis.from_url(url) as redis:
                redis.flushdb()
            return url
        return f"sqlite:///{folder}/{name}.db"

    patience: dict[str, Any] = {f"{role}_timeout": 20.0}
    settings = replace(Settings(**embedded(folder)), **patience)
    if kind == "redis":
        # The relational store, from which the session store learns which sessions ended while it was unavailable.
        with running(settings):
            pass
    return RoleTraffic(role, settings, place)


def _stock(stores: Stores) -> Written:
    product = uuid4()
    with stores.relational.transaction() as tx:
        tx.stock.put(product, on_hand=1)
    return lambda there: there.relational.stock.available([product]) == {product: 1}


def _views(stores: Stores) -> Written:
    seen = uuid4()
    stores.documents.views.apply(1, {seen: 3})
    return lambda there: there.documents.views.counts([seen]) == {seen: 3}


def _entry(stores: Stores) -> Written:
    one, owner = post(), uuid4()
    stores.feeds.push(one, [owner], datetime.now(UTC))
    return lambda there: there.feeds.home_page(owner, limit=5) == [one]


def _session(stores: Stores) -> Written:
    now = datetime.now(UTC)
    session, digest = Session(uuid4(), uuid4(), "phone", now, now + timedelta(days=30)), uuid4().bytes * 2
    stores.sessions.add(session, digest)
    return lambda there: there.sessions.find(digest, now=now) is not None


_WRITES: dict[str, Callable[[Stores], Written]] = {
    "relational": _stock,
    "documents": _views,
    "feeds": _entry,
    "sessions": _session,
}
