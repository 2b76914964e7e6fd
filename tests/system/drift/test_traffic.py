"""The traffic of the drift tests."""

import pytest

from app.container import Container
from app.worker.running import relay_of
from tests.system.drift import world as drift_world
from tests.system.drift.world import Traffic, World

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_traffic_of_any_length_has_no_timeline_rebuilt(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild would repair what the doctor is to find."""
    monkeypatch.setattr(drift_world, "DELETIONS", 15)
    world = World(container, accounts=24, posts=240, movers=12, seed=11)
    for budget in (container.stores.feeds._home_budget, container.stores.feeds._author_budget):  # type: ignore[attr-defined]
        monkeypatch.setattr(budget, "_limit", 20)
    activity = container.stores.relational.feed_activity
    before = [activity.reader_state(one).generation for one in world.settled]
    moves = Traffic(world)
    for _ in range(80):
        moves.posting()
    relay_of(container).drain()
    assert [activity.reader_state(one).generation for one in world.settled] == before
