"""Alerts about load, cache, replicas and failovers in a real Prometheus, each caused by a real fault.

All durations in the rules are shortened, as in `test_faults`.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from app.telemetry import background
from config import Settings
from repositories.errors import StoreError
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Engines, Server, postgres
from tests.engines.kernel import wait_until
from tests.engines.proxy import Proxies, Proxy
from tests.system.alerts import prometheus
from tests.system.alerts.prometheus import Prometheus
from tests.system.alerts.scraping import Scraping
from tests.system.live import Client, Live, ServiceUnavailable, migrated
from tests.system.proofs.relays import threads
from tests.system.test_live_stream import Reader

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
TIMES, EVERY, HEALTHY_SCRAPES = 60, "1s", 60
PATIENCE = 300.0
SCRAPES = 'count_over_time(up{job="quartet"}[1h])'
EVER = 'count_over_time(ALERTS{alertstate="firing"}[1h])'
# Alerts that a busy machine may cause.
OF_SPEED = {"QuartetSlow", "QuartetStoreSlow", "QuartetPoolExhausted", "QuartetDown"}
READERS, PLACES = 6, 4


class Watched(NamedTuple):
    """A system with a primary behind a proxy, its standby, and a Redis for its cache."""

    system: System
    way: Proxy
    primary: Server
    standby: Server
    cache: Redis
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(own_engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    patch, folder, primary = pytest.MonkeyPatch(), tmp_path_factory.mktemp("load"), own_engines.postgres()
    patch.setattr(background, "FRESH_SECONDS", background.FRESH_SECONDS / TIMES)
    patch.setattr(background, "PATIENCE_SECONDS", 0.1)
    with ExitStack() as stack:
        stack.callback(patch.undo)
        database = migrated_database(primary)
        standby = postgres.launch_standby(own_engines.home, primary)
        stack.callback(standby.discard)
        way = stack.enter_context(closing(Proxies())).before(database)
        second = f"127.0.0.1:{urlsplit(standby.url).port}"
        first = urlsplit(way.url)
        url = first._replace(netloc=f"{first.netloc},{second}").geturl()
        cache = own_engines.cache().url
        # Long timeouts, so that slow answers are no failures; and two connections for all readers.
        patient = {"relational_timeout": 20.0, "request_timeout": 20.0, "threads": 2}
        own = {"relational_url": url, "relational_replicas": second, "cache_url": cache}
        system = stack.enter_context(running(Settings(**embedded(folder) | own | patient)))
        scraping = stack.enter_context(closing(Scraping(system.container)))
        found = stack.enter_context(prometheus.running(scraping.port, TIMES, EVERY))
        redis = stack.enter_context(closing(Redis.from_url(cache.replace("/0", ""))))
        yield Watched(system, way, primary, standby, redis, found)


@contextmanager
def repeating_in_threads(*works: Callable[[threading.Event], object]) -> Iterator[None]:
    """Repeat each work in its own thread, until the block ends."""
    over = threading.Event()

    def again(work: Callable[[threading.Event], object]) -> None:
        while not over.is_set():
            work(over)

    with threads([functools.partial(again, work) for work in works], over):
        yield


def visiting(system: System, person: Person) -> Callable[[threading.Event], object]:
    def visit(over: threading.Event) -> None:
        person.keyed("/wallet/deposits", {"amount": {"amount": 1, "currency": "EUR"}}, str(uuid4()))
        for path in ("/posts", "/feed", f"/accounts/{person.handle}") * 3:
            person.send("GET", path)
            if over.wait(0.02):
                return
        with suppress(StoreError):
            system.relay.drain()

    return visit


@contextmanager
def slow_answers(watched: Watched) -> Iterator[None]:
    """The primary answers slowly, to more readers than there are connections."""
    crowd = [visiting(watched.system, watched.system.person()) for _ in range(READERS)]
    watched.way.inject("slow")
    try:
        with repeating_in_threads(*crowd):
            yield
    finally:
        watched.way.heal()


@contextmanager
def cache_emptied(watched: Watched) -> Iterator[None]:
    """The cache is emptied continuously, like one that is far too small."""

    def empty(over: threading.Event) -> None:
        watched.cache.flushall()
        over.wait(0.001)

    with repeating_in_threads(empty):
        yield


@contextmanager
def replica_killed(watched: Watched) -> Iterator[None]:
    watched.standby.kill()
    try:
        yield
    finally:
        watched.standby.start()


@contextmanager
def tail_lost(watched: Watched) -> Iterator[None]:
    """Replication stops, and the standby is promoted without the latest writes."""
    gone = "SELECT count(*) FROM pg_stat_wal_receiver"
    with psycopg.connect(watched.standby.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
        admin.execute("SELECT pg_reload_conf()")
        assert wait_until(lambda: admin.execute(gone).fetchone() == (0,), PATIENCE)
    watched.system.person()
    watched.primary.kill()
    postgres.promote(watched.standby)
    yield


Fault = Callable[[Watched], AbstractContextManager[None]]
FAULTS: list[tuple[Fault, set[tuple[str, str]]]] = [
    (slow_answers, {("QuartetSlow", ""), ("QuartetStoreSlow", "relational"), ("QuartetPoolExhausted", "relational")}),
    (cache_emptied, {("QuartetCacheMissing", "")}),
    (replica_killed, {("QuartetReplicaAway", "relational")}),
    # Last, since it removes the primary.
    (tail_lost, {("QuartetTailLost", "")}),
]
# Further alerts of a fault: a scrape's questions to the primary are not answered in time, or not at all.
ALONG: dict[Fault, set[str]] = {
    slow_answers: {"QuartetStoreDown", "QuartetOutboxUnreadable", "QuartetRelayBehind"},
    tail_lost: {"QuartetStoreDown", "QuartetErrors", "QuartetStoreFailing", "QuartetOutboxUnreadable"}
    | {"QuartetReplicaAway", "QuartetStoreReadOnly"},
}


def test_no_alert_fires_in_healthy_traffic(watched: Watched) -> None:
    """For an hour of the rules' time."""
    found, person = watched.prometheus, watched.system.person()
    with repeating_in_threads(visiting(watched.system, person)):
        begun = found.value(SCRAPES)
        assert wait_until(lambda: found.value(SCRAPES) >= begun + HEALTHY_SCRAPES, PATIENCE)
    assert fired(found) - OF_SPEED == set()
    assert found.value('quartet_replica_serves{store="relational"}') == 1
    assert found.value('sum(rate(quartet_cache_events_total{kind="hit"}[1m]))') > 0


@pytest.mark.parametrize(("fault", "alerts"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_fires_its_alert(watched: Watched, fault: Fault, alerts: set[tuple[str, str]]) -> None:
    found, seen = watched.prometheus, set[tuple[str, str]]()

    def all_have() -> bool:
        seen.update(found.firing())
        return seen >= alerts

    with repeating_in_threads(visiting(watched.system, watched.system.person())):
        with fault(watched):
            assert wait_until(all_have, PATIENCE), seen
            assert {name for name, _ in seen - alerts} - OF_SPEED <= ALONG.get(fault, set())
        if fault is not tail_lost:
            assert wait_until(lambda: not found.firing(), PATIENCE), found.firing()


def fired(found: Prometheus) -> set[str]:
    return {one["metric"]["alertname"] for one in found.asked("query", query=EVER)["result"]}


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Prometheus]]:
    """A server with one thread and few slots for streams."""
    folder = tmp_path_factory.mktemp("crowded")
    migrated(folder)
    narrow = {"WORKERS": "1", "THREADS": "1", "QUEUE_SECONDS": "0.05", "STREAMS": str(PLACES)}
    with closing(Live(folder, **narrow)) as live:
        live.answering()
        with prometheus.running(live.port, TIMES, EVERY) as found:
            yield live, found


def test_overload_of_a_server_fires_its_alert(small_server: tuple[Live, Prometheus]) -> None:
    live, found = small_server

    def registering(client: Client, number: int) -> Callable[[threading.Event], object]:
        more = {"handle": f"ada_{number}", "email": f"ada_{number}@example.com", "display_name": "Ada"}
        return lambda _over: client.send("POST", "/accounts", more | {"password": PASSWORD})

    assert ("QuartetOverloaded", "") not in found.firing()
    with repeating_in_threads(*(registering(live.client(), number) for number in range(READERS))):
        assert wait_until(lambda: ("QuartetOverloaded", "") in found.firing(), PATIENCE), found.firing()
    assert wait_until(lambda: ("QuartetOverloaded", "") not in found.firing(), PATIENCE), found.firing()


def registered(live: Live) -> Client:
    """Register somebody. With one thread a request may be refused, even because of a scrape, and is then repeated."""
    found: list[Client] = []

    def one_more() -> bool:
        with suppress(ServiceUnavailable):
            found.append(live.person())
        return bool(found)

    assert wait_until(one_more, PATIENCE)
    return found[0]


def test_streams_at_their_limit_fire_their_alert(small_server: tuple[Live, Prometheus]) -> None:
    live, found = small_server
    people = [registered(live) for _ in range(PLACES)]
    assert ("QuartetStreamsFull", "") not in found.firing()
    with ExitStack() as stack:
        readers = [stack.enter_context(closing(Reader(live.port, person))) for person in people]
        assert {reader.status for reader in readers} == {200}
        assert wait_until(lambda: ("QuartetStreamsFull", "") in found.firing(), PATIENCE), found.firing()
    assert wait_until(lambda: ("QuartetStreamsFull", "") not in found.firing(), PATIENCE), found.firing()
