"""All interleavings of readers and writers on Redis and PostgreSQL. Those that depend on time are in `tests/unit`."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from repositories.hot import Cache, open_cache
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.unit.scheduler import Scheduler
from tests.unit.test_interleavings import (
    Scene,
    a_writer_dies,
    outcomes,
    page_looked_for_by_another,
    page_of_a_cold_part,
    page_of_a_part_that_is_there,
    page_written_through,
    renewed_early,
    two_writers,
    written_through,
    written_through_beside_a_loader,
    written_through_twice,
)

SCENES = [a_writer_dies]
# These use the same scripts and statements, so they run with the proofs only. In CI the embedded adapter runs all.
MORE = [
    page_written_through,
    two_writers,
    page_looked_for_by_another,
    renewed_early,
    written_through,
    written_through_beside_a_loader,
    written_through_twice,
    page_of_a_cold_part,
    page_of_a_part_that_is_there,
]


PROOF = [
    *(("redis", scene) for scene in MORE),
    *(("postgres", scene) for scene in (*SCENES, *MORE) if scene is not a_writer_dies),
]


@pytest.fixture
def cache(request: pytest.FixtureRequest, engines: Shared) -> Iterator[Cache]:
    url = engines.cache().url if request.param == "redis" else new_database(engines.postgres())
    store = open_cache(url, timeout=timedelta(seconds=5), pool=4)
    store.migrate()
    yield store
    store.close()


@pytest.mark.parametrize(
    ("cache", "scene"),
    [
        *(("redis", scene) for scene in SCENES),
        ("postgres", a_writer_dies),
        *(pytest.param(*one, marks=pytest.mark.proof) for one in PROOF),
    ],
    indirect=["cache"],
)
def test_no_interleaving_leaves_or_serves_a_stale_value(scene: Scene, cache: Cache) -> None:
    with Scheduler(4) as scheduler:
        orders = list(outcomes(scene, cache, scheduler, [0.0]))
    assert len(orders) > 7
    assert [what for wrong in orders for what in wrong] == []
