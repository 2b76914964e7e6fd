"""The whole application on clusters of three engines, which lose servers in random order, several times in a row.

Every fault meets what the earlier ones have left: a standby on a third timeline, a former master as replica, other
elections. Run by `make test-clusters`. `QUARTET_SEQUENCES` says how many sequences are run, each with its own seed.
"""

import logging
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from config import Settings
from tests.apps import embedded, running
from tests.engines.counted import CountingObserver, counted
from tests.engines.home import Home
from tests.system.outages.cluster_postgres import Deposits
from tests.system.outages.cluster_redis import SignIns
from tests.system.outages.failing_clusters import FailingCluster, MongoSet, PostgresPair, RedisPair
from tests.system.outages.traffic import WRITERS, Posts, Traffic

__all__ = ["counted"]
log = logging.getLogger(__name__)
SEEDS = range(int(os.environ.get("QUARTET_SEQUENCES", "2")))
FAULTS = 6


class Clusters(NamedTuple):
    postgres: PostgresPair
    redis: RedisPair
    mongo: MongoSet


@pytest.fixture
def clusters() -> Iterator[Clusters]:
    home = Home()
    with ExitStack() as stack:
        stack.callback(home.close)
        redis = RedisPair(home)
        stack.callback(redis.discard)
        mongo = MongoSet(home)
        stack.callback(mongo.discard)
        postgres = PostgresPair(home)
        stack.callback(postgres.discard)
        yield Clusters(postgres, redis, mongo)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_in_any_order_of_faults(
    clusters: Clusters, tmp_path: Path, counted: CountingObserver, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret
    urls = {
        "relational_url": clusters.postgres.url,
        "sessions_url": clusters.redis.url,
        "documents_url": clusters.mongo.url,
    }
    with running(Settings(**embedded(tmp_path) | urls | {"threads": 3 * WRITERS, "login_failures": 0})) as system:
        with (
            Traffic(system, Deposits()) as deposits,
            Traffic(system, Posts()) as posts,
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
        losable = sum(
            at - 1 < write.ended <= at for at in clusters.redis.failed_over for write in sign_ins.acknowledged()
        )
        for traffic, lost in ((deposits, 0), (posts, 0), (sign_ins, losable)):
            row = traffic.row(began, lost=lost)
            log.info("seed %s: %s", seed, row)
            # The count may include sign-ins that were not acknowledged.
            assert counted.reads.get("lost_tail", 0) >= row.lost
