"""The served feed equals the definition after every step of random histories."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.services.feeds import page_windows
from config import Settings
from tests.apps import embedded, running
from tests.engines import Shared
from tests.system.crowd import SteppedClock
from tests.system.feed_machine import SMALL, run_machine
from tests.system.feed_world import World
from tests.system.real import KEYSPACE, on_postgres, real_urls

EXAMPLES = int(os.environ.get("QUARTET_FEED_EXAMPLES", "20"))


@pytest.mark.long
@pytest.mark.parametrize(("top", "fewest"), [(3, 32), (240, 3)], ids=["short", "growing"])
def test_the_embedded_feed_matches_the_definition(monkeypatch: pytest.MonkeyPatch, top: int, fewest: int) -> None:
    """With home tops of three entries, and with ones that are filled with three and grow."""
    monkeypatch.setattr(page_windows, "FEWEST", fewest)
    clock = SteppedClock()
    with (
        TemporaryDirectory() as directory,
        running(Settings(**embedded(Path(directory)) | SMALL | {"home_top_entries": top}), clock) as system,
    ):
        world = World(system.container, clock)
        run_machine(world, examples=EXAMPLES // 2, steps=30)
        assert world.quick > 0


@pytest.mark.long
@pytest.mark.engines
@pytest.mark.parametrize("engine", ["cassandra", pytest.param("postgres", marks=pytest.mark.proof)])
def test_the_feed_in_the_engines_matches_the_definition(engines: Shared, tmp_path: Path, engine: str) -> None:
    clock = SteppedClock()
    roles = ("relational", "documents", "feeds")
    real = (
        on_postgres(engines, ("relational", "feeds"))
        if engine == "postgres"
        else real_urls(engines, "machine", roles, keyspace=KEYSPACE)
    )
    timeouts = {f"{role}_timeout": 10.0 for role in roles}
    with running(Settings(**embedded(tmp_path) | real | timeouts | SMALL | {"home_top_entries": 3}), clock) as system:
        run_machine(World(system.container, clock), examples=max(4, EXAMPLES // 100), steps=30)
