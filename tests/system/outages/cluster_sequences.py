"""The whole application on clusters of four engines, which lose servers in random order, several times in a row.

Every fault meets what the earlier ones have left: a standby on a third timeline, a former master as replica, other
elections. Run by `make test-clusters`. `QUARTET_SEQUENCES` says how many sequences are run, each with its own seed.
"""

import logging
import os
import random
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest

from config import Settings
from tests.apps import Person, embedded, running
from tests.engines import Server
from tests.engines.cluster_cassandra import ring
from tests.engines.counted import CountingObserver, counted
from tests.engines.home import Home
from tests.system.outages.cluster_cassandra import relaying
from tests.system.outages.cluster_postgres import Deposits
from tests.system.outages.cluster_redis import SignIns
from tests.system.outages.failing_clusters import (
    FailingCassandra,
    FailingCluster,
    FailingMongo,
    FailingPostgres,
    FailingRedis,
)
from tests.system.outages.traffic import WRITERS, Posts, Traffic, Write, titles

__all__ = ["counted", "ring"]
log = logging.getLogger(__name__)
SEEDS = range(int(os.environ.get("QUARTET_SEQUENCES", "2")))
FAULTS = 6


class FollowedPosts(Posts):
    """Posts that must be in the home feed of a follower at once, and there exactly once in the end."""

    def __init__(self, reader: Person) -> None:
        self._reader = reader
        self._followed: set[str] = set()

    def send(self, write: Write) -> Any:
        author = write.person.handle
        if author not in self._followed:
            answer = self._on(write.person).send("PUT", f"/accounts/{author}/follow")
            if answer.status_code >= 300:
                return answer
            self._followed.add(author)
        return super().send(write)

    def is_stale(self, write: Write, answer: Any) -> bool:
        if answer.status_code != 201:
            return False
        page = self._on(write.person).send("GET", "/feed", query_string={"limit": 50})
        return page.status_code == 200 and write.name not in {
            item["post"]["title"] for item in page.get_json()["items"]
        }

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        known = {write.name for write in writes}
        return (title for title in titles(self._on(person), "/feed") if title in known)

    def _on(self, person: Person) -> Person:
        """The reader, on the writer's client, since a client is for one thread."""
        return Person(person.client, self._reader.token, self._reader.account)


class Clusters(NamedTuple):
    postgres: FailingPostgres
    redis: FailingRedis
    mongo: FailingMongo
    cassandra: FailingCassandra


@pytest.fixture
def clusters(ring: list[Server]) -> Iterator[Clusters]:
    home = Home()
    with ExitStack() as stack:
        stack.callback(home.close)
        redis = FailingRedis(home)
        stack.callback(redis.discard)
        mongo = FailingMongo(home)
        stack.callback(mongo.discard)
        postgres = FailingPostgres(home)
        stack.callback(postgres.discard)
        cassandra = FailingCassandra(ring)
        stack.callback(cassandra.discard)
        yield Clusters(postgres, redis, mongo, cassandra)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_in_any_order_of_faults(
    clusters: Clusters, tmp_path: Path, counted: CountingObserver, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret
    urls = {
        "relational_url": clusters.postgres.url,
        "sessions_url": clusters.redis.url,
        "documents_url": clusters.mongo.url,
        "feeds_url": clusters.cassandra.url,
    }
    more = {"feeds_replication": "3", "threads": 3 * WRITERS, "login_failures": 0}
    with running(Settings(**embedded(tmp_path) | urls | more)) as system:
        with (
            relaying(system),
            Traffic(system, Deposits()) as deposits,
            Traffic(system, FollowedPosts(system.person())) as posts,
            Traffic(system, SignIns()) as sign_ins,
        ):
            every = deposits, posts, sign_ins
            began = monotonic()
            for _ in range(FAULTS):
                # Sometimes two clusters fail at once.
                failing: list[FailingCluster] = chance.sample(list(clusters), chance.choice([1, 1, 2]))
                log.info(
                    "seed %s: %s", seed, "; ".join(f"{type(one).__name__}: {one.inject(chance)}" for one in failing)
                )
                for one in chance.sample(failing, len(failing)):
                    one.repair(chance)
                repaired = monotonic()
                for traffic in every:
                    traffic.goes_on(repaired, WRITERS)
        losable = sum(clusters.redis.may_lose(write.ended) for write in sign_ins.acknowledged())
        for traffic, lost in ((deposits, 0), (posts, 0), (sign_ins, losable)):
            row = traffic.row(began, lost=lost)
            log.info("seed %s: %s", seed, row)
            # The count may include sign-ins that were not acknowledged.
            assert counted.reads.get("lost_tail", 0) >= row.lost
