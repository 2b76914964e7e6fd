"""A system with every kind of record, and a backup that was made of it under write traffic."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.container import Container
from config import Settings
from tests.apps import ROLES, embedded, running
from tests.engines import Shared
from tests.http.drives import DRIVES
from tests.http.test_budgets import send
from tests.http.world import ShiftedClock, World
from tests.system.crowd import publish
from tests.system.real import real_urls

MIXES = ("embedded", *(pytest.param(one, marks=pytest.mark.engines) for one in ("servers", "postgres")))
FOUND = 1
PEOPLE = 4


@dataclass(frozen=True)
class Backup:
    """`before` are posts that existed when the dump began, in the feeds of `readers`; `output` is the command's."""

    path: Path
    before: set[UUID]
    readers: list[UUID]
    output: str


def quartet(urls: dict[str, Any], *arguments: str) -> Result:
    env = {f"QUARTET_{role.upper()}_URL": urls[f"{role}_url"] for role in ROLES}
    return CliRunner().invoke(main, [*arguments], env=env)


@pytest.fixture(params=MIXES)
def other_stores(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings with other engines, empty and migrated: files; PostgreSQL and MongoDB; PostgreSQL alone."""
    urls = embedded(tmp_path)
    if request.param != "embedded":
        engines: Shared = request.getfixturevalue("engines")
        roles = ("relational", "documents") if request.param == "servers" else ("relational",)
        urls |= real_urls(engines, "backup", roles)
        if request.param == "postgres":
            urls["documents_url"] = urls["relational_url"]
    with running(Settings(**urls)):
        return urls


@pytest.fixture(scope="session")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    folder = tmp_path_factory.mktemp("backup")
    urls, clock, path = embedded(folder), ShiftedClock(), folder / "quartet.dump"
    with running(Settings(**urls, views_seconds=0.0), clock) as system:
        world = World(system, clock, real=False)
        for (method, _route), prepare in DRIVES.items():
            if method != "GET":
                send(method, prepare(world, FOUND))
        add_rare_records(world)
        container, people = system.container, [UUID(one.account["id"]) for one in world.people(PEOPLE)]
        for one in world.people(PEOPLE)[1:]:
            one.put(f"/accounts/{world.people(PEOPLE)[0].handle}/follow")
        before = {publish(container, people[0]) for _ in range(5)}
        with writing(container, people):
            done = quartet(urls, "dump", str(path))
        assert done.exit_code == 0, done.output
        yield Backup(path, before, people, done.output)


def add_rare_records(world: World) -> None:
    """Add records that no route creates, or that the relay would change or remove: noted heads, dead letters, leases,
    tombstones, payments of unknown outcome.
    """
    ada, bob = world.person(), world.person()
    ada.mailed("reset")
    ada.patch("/accounts/me", {"handle": f"new_{uuid4().hex[:12]}"}, etag="*")
    gone, commented = ada.publish("Gone", tags=["lamps"]), ada.publish("Commented")
    bob.post(f"/posts/{gone}/comments", {"body": "Well said."})
    bob.post(f"/posts/{commented}/comments", {"body": "Well said."})
    bob.delete(f"/posts/{commented}/comments/1")
    ada.delete(f"/posts/{gone}", etag="*")
    world.order()
    world.system.container.money.anchors.note_heads()
    ada.pay("/wallet/deposits", {"amount": {"amount": 40_504, "currency": "EUR"}}, 503)
    world.system.container.stores.documents.views.apply(1, {UUID(commented): 3})
    stores, now = world.system.container.stores, world.system.container.kit.clock()
    for outbox in (stores.relational.outbox, stores.documents.outbox):
        claims = outbox.claim(now=now, lease_until=now + timedelta(minutes=1), limit=3)
        outbox.dead_letter(claims[0], reason="broken\0" * (outbox is stores.documents.outbox), attempts=9, now=now)


class writing:  # noqa: N801  reads as what it does
    """Publishes and pays while the block runs. It has done so once when the block begins."""

    def __init__(self, container: Container, people: list[UUID]) -> None:
        self._container, self._people = container, people
        self._stop, self._began = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._began.wait(60)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.is_set():
            post = publish(self._container, self._people[0])
            self._container.content.posts.like(self._people[1], post)
            self._began.set()
