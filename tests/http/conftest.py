"""A system for each test, on embedded adapters unless its module says otherwise. Tests run the relay explicitly."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.services.live.hub import Hub, LiveLimits
from config import Settings
from repositories.hot import Streams
from tests.apps import System, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.http.console_pages import TOKEN
from tests.http.mail_world import MailWorld
from tests.http.stream_reader import FAST, Make
from tests.http.world import ShiftedClock
from tests.mail_server import mail_server
from tests.settable_clock import Clock as SettableClock
from tests.shop import Clock, Shop


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings on embedded adapters; the relational store is on PostgreSQL if the test is parametrised with that."""
    changes: dict[str, Any] = {}
    if getattr(request, "param", "embedded") == "postgres":
        server = request.getfixturevalue("engines").postgres()
        changes = {"relational_url": migrated_database(server), "relational_timeout": 10.0}
    return Settings(**embedded(tmp_path) | changes)


@pytest.fixture
def system(settings: Settings) -> Iterator[System]:
    with running(settings) as found:
        yield found


@pytest.fixture
def settable() -> SettableClock:
    return SettableClock()


@pytest.fixture
def audited(settings: Settings, settable: SettableClock) -> Iterator[System]:
    """A system with a settable clock. After the test the audit of the ledger must find nothing."""
    with running(settings, settable) as found:
        yield found
        assert list(found.container.stores.relational.audit.ledger()) == []


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path), console_token=TOKEN)) as found:
        yield found


@pytest.fixture
def console(system: System) -> FlaskClient:
    """A client of the console, from this machine and in development."""
    return system.app.test_client()


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    """A shop. After the test its audit must find nothing."""
    clock = Clock()
    with running(settings, clock) as system:
        found = Shop(system, clock)
        yield found
        assert found.audit() == []


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes systems with fast live streams; `streams` replaces the store of the streams."""
    lives: list[Hub] = []
    with running(Settings(**embedded(tmp_path))) as found:
        container = found.container

        def maker(limits: LiveLimits = FAST, streams: Streams | None = None) -> System:
            lives.append(
                Hub(streams or container.stores.streams, container.stores.sessions, container.kit.clock, limits)
            )
            return System(replace(container, live=replace(container.live, hub=lives[-1])))

        yield maker
        for live in lives:
            live.close()


@pytest.fixture
def mail_world(settings: Settings) -> Iterator[MailWorld]:
    clock = ShiftedClock()
    with mail_server() as (kept, port):
        fields: dict[str, Any] = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
        fields |= {"mail_url": f"smtp://localhost:{port}?starttls=false", "address_login_failures": 0}
        with running(Settings(**fields), clock) as system:
            world = MailWorld(system, clock, real=False)
            world.kept = kept
            yield world
