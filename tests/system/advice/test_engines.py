"""Problems of MongoDB, Redis and Cassandra, each provoked on the real server."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cassandra.cluster import Cluster, Session
from cassandra.concurrent import execute_concurrent_with_args
from msgspec.structs import replace
from pymongo import MongoClient
from redis import Redis

from app.clock import utc_now
from app.doctor.advice.rule import Advice, Rule, judged, rules
from app.ids import Ids
from config import Settings
from repositories.feeds.cassandra.link import PAGE
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.moving.places import Mark
from repositories.observer_port import Observed, observe
from repositories.observers import open_observer
from repositories.records.content import PostRef
from tests.apps import System, embedded, running
from tests.engines import Reachable, Shared, redis
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.advice.asking import advised, named, without_waiting
from tests.system.real import real_urls

MEGABYTE = 1 << 20
REMOVED = 1300
# More than the bound of `rows-read`, in one partition.
ROWS = 6000


def seen(url: str, *roles: str) -> Observed:
    with closing(open_observer(url, roles)) as observer:
        return observe(observer)


def found(url: str, *roles: str, kinds: set[str] | None = None, by: list[Rule] | None = None) -> list[Advice]:
    chosen = [rule for rule in by or rules() if kinds is None or rule.kind in kinds]
    return list(judged(seen(url, *roles), roles, chosen))


def check_names(observed: Observed) -> set[str]:
    """Check that every figure in a rule of this engine was observed. Returns the observed kinds."""
    kinds = {subject.kind for subject in observed.subjects}
    beside = {"name", "serves_cache", "serves_sessions", "bytes_share"}
    for rule in (rule for rule in rules() if rule.engine == observed.engine and rule.kind in kinds):
        known = {name for one in observed.subjects if one.kind == rule.kind for name in (*one.figures, *one.words)}
        assert {bound.figure for bound in rule.bounds} <= known | beside, rule.name
    return kinds


@pytest.fixture(scope="module")
def mongo(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    urls = embedded(tmp_path_factory.mktemp("advice")) | real_urls(engines, "advice", ["documents"])
    with running(Settings(**urls)) as system:
        yield system


# Kinds of subjects in one database, as opposed to the server that all tests share.
OF_A_DATABASE = {"missing index", "index", "operation"}


def test_faulty_collections_are_found(mongo: System) -> None:
    url = mongo.container.settings.documents_url
    ada = mongo.person()
    ada.publish()
    well = seen(url, "documents")
    assert check_names(well) >= {"server", "index", "member", "disk", "level"}
    assert [note.partition(",")[0] for note in well.notes] == ["the profiler is off"]
    assert found(url, "documents", kinds=OF_A_DATABASE) == []
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        database = client.get_default_database()
        database["imported"].insert_many([{"n": n, "secret": f"value {n}"} for n in range(1200)])
        database["imported"].create_index("n", name="by_n")
        database["posts"].drop_index("author")
        database.command("collMod", "products", index={"name": "seller", "hidden": True})
        database["comments"].drop_index("author")
        database["comments"].create_index("body", name="author")
        # Profile all operations, whatever their duration.
        database.command("profile", 2)
        for n in range(3):
            list(database["imported"].find({"secret": f"value {n}"}))
        # An export has no filter, so no index would help it.
        list(database["imported"].find(batch_size=2000))
        database.command("profile", 0)
        assert "index-unused" not in {one.rule for one in found(url, "documents", kinds=OF_A_DATABASE)}
        soon = without_waiting(rule for rule in rules() if rule.kind in OF_A_DATABASE)
        sick = found(url, "documents", by=soon)
        assert named(sick) == {
            ("index-missing", "posts.author"),
            ("index-missing", "products.seller"),
            ("index-missing", "comments.author"),
            ("index-unused", "imported.by_n"),
            ("collection-read-whole", "imported"),
        }
        [scan] = [one for one in sick if one.rule == "collection-read-whole"]
        assert scan.figures["times"] == 3
        assert "to filter by secret" in scan.words
        assert "value 1" not in str(sick)
        assert named(advised(mongo.container, by=soon)) == named(sick)
        # Follow the advice.
        mongo.container.stores.documents.migrate()
        database["imported"].drop_index("by_n")
        assert named(found(url, "documents", kinds=OF_A_DATABASE)) == {("collection-read-whole", "imported")}


@pytest.fixture
def home() -> Iterator[Home]:
    one = Home()
    yield one
    one.close()


def test_a_cache_that_is_too_small_and_evictable_sessions_are_found(home: Home) -> None:
    cache, sessions = redis.launch_cache(home), redis.launch_sessions(home)
    try:
        assert check_names(seen(cache.url, "cache")) >= {"server", "level"}
        assert found(cache.url, "cache") == found(sessions.url, "sessions") == []
        with Redis.from_url(cache.url) as client:
            client.config_set("maxmemory", 3 * MEGABYTE)
            for _ in range(10):
                with client.pipeline(transaction=False) as pipe:
                    for _ in range(300):
                        pipe.set(uuid4().hex, b"x" * 2048, ex=3600).get("page")
                    pipe.execute()
            assert named(found(cache.url, "cache")) == {
                (rule, address(cache)) for rule in ("cache-evicts", "cache-without-room")
            }
            client.config_set("maxmemory", 64 * MEGABYTE)
            client.config_resetstat()
            assert found(cache.url, "cache") == []
            client.config_set("maxmemory-policy", "noeviction")
            assert named(found(cache.url, "cache")) == {("cache-policy-wrong", address(cache))}
            client.config_set("maxmemory", 0)
            client.config_set("latency-monitor-threshold", 50)
            client.execute_command("DEBUG", "SLEEP", 0.12)
            assert named(found(cache.url, "cache")) == {
                ("cache-policy-wrong", address(cache)),
                ("cache-without-limit", address(cache)),
                ("command-slow", "DEBUG"),
                ("latency-spikes", "command"),
            }
        with Redis.from_url(sessions.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("appendonly", "no")
        both = {("sessions-policy-wrong", address(sessions)), ("sessions-not-durable", address(sessions))}
        assert named(found(sessions.url, "sessions")) == both
        assert ("one-server-for-two", address(sessions)) in named(found(sessions.url, "sessions", "cache"))
    finally:
        cache.discard()
        sessions.discard()


def test_a_lagging_replica_of_redis_is_found(home: Home) -> None:
    master = redis.launch_sessions(home)
    replica = redis.launch_replica(home, master)
    try:
        with Redis.from_url(master.url) as client:
            assert wait_until(lambda: client.info("replication").get("slave0", {}).get("state") == "online", 30)
            assert found(master.url, "sessions") == []
            replica.pause()
            client.set("written", b"x" * 2 * MEGABYTE)
            assert "replica-behind" in {one.rule for one in found(master.url, "sessions")}
            replica.resume()
            assert wait_until(lambda: not found(master.url, "sessions"), 30)
    finally:
        replica.discard()
        master.discard()


def test_all_masters_of_a_cluster_are_asked(redis_cluster: str) -> None:
    servers = [one for one in seen(redis_cluster, "cache").subjects if one.kind == "server"]
    assert len({one.name for one in servers}) == 3


def address(server: Reachable) -> str:
    return server.url.partition("://")[2].partition("/")[0]


@pytest.fixture(scope="module")
def cassandra(engines: Shared) -> Iterator[tuple[Session, str]]:
    """A session, and the URL of a keyspace with one of Quartet's tables."""
    server, keyspace = engines.cassandra(), f"advice_{uuid4().hex[:8]}"
    host, port = address(server).split(":")
    with Cluster([host], port=int(port), protocol_version=5) as cluster:
        session = cluster.connect()
        simple = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {simple}")
        session.execute(
            f"CREATE TABLE {keyspace}.home_timeline (owner_id uuid, bucket int, post_id uuid, note text,"
            " PRIMARY KEY ((owner_id, bucket), post_id))"
        )
        session.set_keyspace(keyspace)
        yield session, server.url.replace("/quartet", f"/{keyspace}")


def test_what_moves_and_audits_read_is_not_taken_for_another_client(engines: Shared) -> None:
    url = engines.cassandra().url.replace("/quartet", f"/advice_{uuid4().hex[:8]}")
    ids, owner, rows_read = Ids(utc_now), uuid4(), [rule for rule in rules() if rule.name == "rows-read"]
    with closing(CassandraFeeds(url, timeout=timedelta(seconds=20), retention=timedelta(days=90))) as feeds:
        feeds.migrate()
        feeds.audit.restore_home(owner, [PostRef(ids(), owner) for _ in range(ROWS)], utc_now())
        assert len(list(feeds.audit.home(owner))) == ROWS
        place = feeds.place
        assert place
        place.capture(Mark("leaving", 0, "new", "move"))
        with place.moment() as moment:
            assert sum(map(len, moment.records("home timelines"))) == ROWS
    tables = [one for one in seen(url, "feeds").subjects if one.name == "home_timeline"]
    assert [one.figures["rows_most"] >= PAGE for one in tables] == [True]
    assert found(url, "feeds", by=rows_read) == []


def test_a_hot_partition_and_tombstones_are_found(cassandra: tuple[Session, str]) -> None:
    session, url = cassandra
    assert check_names(seen(url, "feeds")) >= {"node", "table", "pool", "level"}
    of_tables = [rule for rule in rules() if rule.engine == "Cassandra" and rule.kind == "table"]
    assert found(url, "feeds", by=of_tables) == []
    owner = UUID(int=1)
    add = session.prepare("INSERT INTO home_timeline (owner_id, bucket, post_id, note) VALUES (?, 0, uuid(), ?)")
    # A fiftieth of the rule's width, so that writing it is quick.
    execute_concurrent_with_args(session, add, [(owner, "x" * MEGABYTE)] * 3)
    narrow = [replace(r, when=["widest_bytes >= 2_000_000"]) if r.name == "partition-wide" else r for r in of_tables]
    session.execute("ALTER TABLE home_timeline WITH memtable_flush_period_in_ms = 100")
    assert wait_until(lambda: ("partition-wide", "home_timeline") in named(found(url, "feeds", by=narrow)), 60)
    session.execute("ALTER TABLE home_timeline WITH memtable_flush_period_in_ms = 0")
    remove = session.prepare("DELETE FROM home_timeline WHERE owner_id = ? AND bucket = 1 AND post_id = ?")
    execute_concurrent_with_args(session, remove, [(owner, uuid4()) for _ in range(REMOVED)])
    scan = session.prepare("SELECT * FROM home_timeline WHERE owner_id = ? AND bucket = 1")
    for _ in range(10):
        session.execute(scan, [owner])
    worst = [one for one in found(url, "feeds", by=of_tables) if one.rule == "tombstones-read"]
    assert [one.about for one in worst] == ["home_timeline"]
    assert worst[0].figures["tombstones_most"] >= REMOVED
