"""Measures deliveries per second: a complete fan-out, next to the driver's own loop over rows made in advance."""

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import click
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from msgspec import Struct

from app.container import Container
from app.ids import Ids
from app.services.feeds.fanouts import Unfinished
from bench.feed.crowd import follow, register, system
from bench.feed.figures import spread
from repositories.feeds.cassandra.schema import statements
from repositories.feeds.layout import Layout
from repositories.records.content import PostRef
from tests.engines import Engines

PROTOCOL = 5
CONCURRENCY = 100
WEEK = 7 * 24 * 3600


class Rate(Struct, frozen=True):
    """`rate` is deliveries per second. `busy` is the CPU time of this process per delivery, in microseconds."""

    rate: float
    busy: float


Fan = Callable[[PostRef, datetime], None]


def measure(engines: Engines, followers: int, rounds: int) -> None:
    with system(engines, pull_threshold=10**12, deliveries_per_second=0) as container:
        author, *fans = register(container, [str(n) for n in range(followers + 1)])
        follow(container, [(fan.id, author.id) for fan in fans])
        owners = [fan.id for fan in fans]
        with _bare(container.settings.feeds_url, owners) as bare:
            _in_turns(container, author.id, bare, followers, rounds)


def _in_turns(container: Container, author: UUID, bare: Fan, followers: int, rounds: int) -> None:
    ids = Ids()

    def measured(fan: Fan) -> Rate:
        return _measured(fan, PostRef(ids(), author), followers)

    first = measured(_quartet(container))
    click.echo(f"  first post of a bucket, its markers with it: {first.rate:,.0f}/s")
    measured(bare)
    found: list[tuple[Rate, Rate]] = []
    for number in range(rounds):
        if number % 2:
            there, own = measured(bare), measured(_quartet(container))
        else:
            own, there = measured(_quartet(container)), measured(bare)
        found.append((own, there))
        click.echo(f"  round {number + 1}: Quartet {own.rate:,.0f}/s, bare loop {there.rate:,.0f}/s; {_load()}")
    ratio = statistics.median(own.rate / there.rate for own, there in found)
    for name, some in (("Quartet", [own for own, _ in found]), ("bare loop", [there for _, there in found])):
        busy = statistics.median(one.busy for one in some)
        click.echo(f"{name}: {spread([one.rate for one in some])} deliveries/s, client {busy:.0f} us each")
    click.echo(f"deliveries: {ratio:.2f} of the bare loop (median of {rounds} rounds of {followers:,})")


def _quartet(container: Container) -> Fan:
    """Deliver like the relay: repeat until the fan-out is finished."""

    def fan(post: PostRef, at: datetime) -> None:
        while True:
            try:
                return container.feeds.fanouts.deliver(post, at)
            except Unfinished:
                continue

    return fan


@contextmanager
def _bare(url: str, owners: list[UUID]) -> Iterator[Fan]:
    """A fan-out by one call of the driver for all owners."""
    parts = urlsplit(url)
    profile = ExecutionProfile(consistency_level=ConsistencyLevel.LOCAL_QUORUM)
    profiles: dict[Any, ExecutionProfile] = {EXEC_PROFILE_DEFAULT: profile}
    address = (str(parts.hostname), parts.port)
    cluster = Cluster([address], protocol_version=PROTOCOL, execution_profiles=profiles, compression=False)
    try:
        session = cluster.connect()
        statement = session.prepare(statements(parts.path[1:])["home_add"])
        yield _Loop(session, statement, owners)
    finally:
        cluster.shutdown()


class _Loop:
    """Writes rows that `ready` has made before the clock starts."""

    def __init__(self, session: Any, statement: Any, owners: list[UUID]) -> None:
        self._session, self._statement, self._owners = session, statement, owners
        self._rows: list[tuple[object, ...]] = []

    def ready(self, post: PostRef, at: datetime) -> None:
        entry = Layout().home.bucket(post.post_id), post.post_id, post.author_id, int(at.timestamp() * 1e6), WEEK
        self._rows = [(owner, *entry) for owner in self._owners]

    def __call__(self, _post: PostRef, _at: datetime) -> None:
        execute_concurrent_with_args(self._session, self._statement, self._rows, concurrency=CONCURRENCY)


def _measured(fan: Fan, post: PostRef, followers: int) -> Rate:
    at = datetime.now(UTC)
    if isinstance(fan, _Loop):
        fan.ready(post, at)
    began, used = perf_counter(), process_time()
    fan(post, at)
    seconds, busy = perf_counter() - began, process_time() - used
    return Rate(followers / seconds, busy / followers * 1e6)


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"
