"""A system on embedded adapters whose clock only moves when a test moves it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.container import Container
from config import Settings
from tests.apps import embedded, running
from tests.receiver import Receiver, receiving
from tests.system.crowd import (
    SteppedClock,
)
from tests.system.relay.operator import Operator
from tests.system.relay.operator import settings as webhook_settings
from tests.system.relay.runs import LEASE, TRIES


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def container(clock: SteppedClock, tmp_path: Path) -> Iterator[Container]:
    stores: dict[str, Any] = dict(embedded(tmp_path))
    settings = Settings(**stores, relay_lease_seconds=LEASE, relay_attempts=TRIES, fanout_chunk=2, backfill_posts=3)
    with running(settings, clock) as system:
        yield system.container


@pytest.fixture
def operator(tmp_path: Path, clock: SteppedClock) -> Iterator[Operator]:
    with running(webhook_settings(tmp_path), clock) as system:
        yield Operator(system, clock)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving() as found:
        yield found
