"""Sets up what is measured: builds and the peer, each with the town in separate stores, and a hello."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import psycopg
from msgspec import Struct
from redis import Redis

from bench.signed_in import peer_rows
from bench.signed_in.builds import HERE, Build, Served, plain
from bench.signed_in.processor import Groups
from bench.signed_in.town import Town
from repositories.batched import batched
from tests.contracts.relational_store import new_database
from tests.engines import Engines
from tests.system.real import real_urls

ROLES = ("relational", "documents", "feeds", "sessions", "cache")


class World(Struct, frozen=True):
    """Mappings are by what serves: `ours`, `before`, `peer`, `hello`. `caches` and `relational` are the URLs of builds
    on the four engines.
    """

    town: Town
    served: Mapping[str, Served]
    groups: Groups
    caches: Mapping[str, str]
    relational: Mapping[str, str]
    folder: Path

    def forget(self, who: str) -> None:
        """Delete all keys from the cache that have a reader's id in their name."""
        with Redis.from_url(self.caches[who]) as cache:
            for names in batched(self._own(cache), 500):
                cache.delete(*names)

    def put(self, who: str, state: str) -> None:
        """Put all readers into this state of feed activity, and clear what is cached about them."""
        self.forget(who)
        with psycopg.connect(self.relational[who]) as connection:
            connection.execute(
                "UPDATE feed_activity SET state = %s, generation = generation + 1 WHERE account_id = ANY(%s)",
                (state, self.town.readers),
            )

    def are_awake(self, who: str) -> bool:
        with psycopg.connect(self.relational[who]) as connection:
            found = connection.execute(
                "SELECT FROM feed_activity WHERE state <> 'awake' AND account_id = ANY(%s) LIMIT 1",
                (self.town.readers,),
            )
            return not found.rowcount

    def kept(self, who: str) -> float:
        """The bytes of memory per reader that the cache uses for keys with a reader's id in their name."""
        with Redis.from_url(self.caches[who]) as cache:
            return sum(cache.memory_usage(name) or 0 for name in self._own(cache)) / len(self.town.readers)

    def _own(self, cache: "Redis") -> list[bytes]:
        readers = self.town.readers
        forms = {form for one in readers for form in (str(one).encode(), one.hex.encode(), one.bytes)}
        return [
            name
            for name in cache.scan_iter(count=1_000)
            if any(name[at : at + size] in forms for size in (36, 32, 16) for at in range(len(name) - size + 1))
        ]


@contextmanager
def on_engines(engines: Engines, town: Town, before: Path | None, folder: Path, cache_seconds: int) -> Iterator[World]:
    """Serve builds on the four engines, the peer and the hello. Each build gets a flushed Redis database by number."""
    engines.start_all()
    checkouts = {"ours": HERE} | ({"before": before} if before else {})
    builds = []
    for number, (name, checkout) in enumerate(checkouts.items(), start=1):
        settings = _urls(engines, name, number) | {"cache_seconds": str(cache_seconds)}
        builds.append(Build(name, checkout, settings, folder))
        for role in ("sessions", "cache"):
            with Redis.from_url(settings[f"{role}_url"]) as redis:
                redis.flushdb()
    _load(builds, town)
    for build in builds:
        with psycopg.connect(build.settings["relational_url"], autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    click.echo("loading the peer")
    peer_url = new_database(engines.postgres())
    peer_rows.fill(peer_url, town)
    with ExitStack() as stack:
        served = {build.name: stack.enter_context(build.served()) for build in builds}
        served["peer"] = stack.enter_context(plain("peer", {"PEER_URL": peer_url}, folder))
        served["hello"] = stack.enter_context(plain("hello", {}, folder))
        roots = {
            "PostgreSQL": (engines.postgres().pid,),
            "Cassandra": (engines.cassandra().pid,),
            "MongoDB": (engines.mongo().pid,),
            "Redis": (engines.sessions().pid, engines.cache().pid),
        }
        caches = {build.name: build.settings["cache_url"] for build in builds}
        relational = {build.name: build.settings["relational_url"] for build in builds}
        yield World(town, served, Groups.of(served, roots), caches, relational, folder)


@contextmanager
def embedded(town: Town, before: Path | None, folder: Path) -> Iterator[World]:
    """Serve builds on the embedded default, with the relay inline."""
    with _on_one(lambda name: f"sqlite:///{folder}/{name}.db", {}, town, before, folder) as world:
        yield world


@contextmanager
def on_postgresql(engines: Engines, town: Town, before: Path | None, folder: Path) -> Iterator[World]:
    """Serve builds with all roles in one PostgreSQL database."""
    server = engines.postgres()
    with _on_one(lambda _: new_database(server), {"PostgreSQL": (server.pid,)}, town, before, folder) as world:
        yield world


@contextmanager
def _on_one(
    url_of: Callable[[str], str],
    roots: Mapping[str, tuple[int, ...]],
    town: Town,
    before: Path | None,
    folder: Path,
) -> Iterator[World]:
    checkouts = {"ours": HERE} | ({"before": before} if before else {})
    builds = []
    for name, checkout in checkouts.items():
        url = url_of(name)
        builds.append(Build(name, checkout, {f"{role}_url": url for role in ROLES}, folder))
    _load(builds, town)
    with ExitStack() as stack:
        served = {build.name: stack.enter_context(build.served()) for build in builds}
        served["hello"] = stack.enter_context(plain("hello", {}, folder))
        yield World(town, served, Groups.of(served, roots), {}, {}, folder)


def _load(builds: list[Build], town: Town) -> None:
    """Load all builds concurrently, since each mostly waits for its engines."""
    click.echo(f"loading {len(builds)} times {town.plan.posts:,} posts")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda build: build.load(town.plan), builds))


def _urls(engines: Engines, name: str, number: int) -> dict[str, str]:
    """The URLs of a build, with new databases and a new keyspace, since an earlier build has other tables.

    On both Redis servers it gets the database with this number.
    """
    found = {key: str(url) for key, url in real_urls(engines, name, [r for r in ROLES if r != "relational"]).items()}
    own = {key: urlsplit(found[key])._replace(path=f"/{number}").geturl() for key in ("sessions_url", "cache_url")}
    return found | own | {"relational_url": new_database(engines.postgres())}
