"""The embedded adapters do not scan whole tables either."""

from pathlib import Path

import pytest

from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.work import Progress
from config import Settings
from tests.apps import PASSWORD, embedded, running
from tests.http.world import ShiftedClock, World
from tests.system.plans import exercise
from tests.system.plans.sqlite_plans import TracedStatements, faults
from tests.system.seed.loads import TINY


@pytest.mark.long
def test_the_embedded_adapters_are_served_by_indexes(tmp_path: Path) -> None:
    traced, plan, clock = TracedStatements(), Plan(TINY), ShiftedClock()
    with traced.listening(), running(Settings(**embedded(tmp_path), views_seconds=0.0), clock) as system:
        traced.kept.clear()
        loader = Loader(system.container, plan, system.container.people.hasher.hash(PASSWORD))
        loader.load(batch=100, concurrency=1, progress=Progress())
        exercise.everything(World(system, clock, real=False), plan)
    found = list(faults(tmp_path / "quartet.db", list(traced.kept.values())))
    assert len(traced.kept) > len(found), "nothing was traced"
    assert not found, "\n\n".join(found)
