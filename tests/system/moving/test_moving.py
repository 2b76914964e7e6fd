"""Moves between files under write traffic, stopped at every step: everything acknowledged exists exactly once."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from werkzeug.test import Client

from app.backup.file import End
from app.cli import main
from app.container import Container, open_stores
from app.http import create_app
from app.moved_roles import Following, arrived, at, forwarded
from app.moving.mover import Move
from config import Settings
from repositories.errors import MovedAway
from repositories.moving.places import Mark, StorePlace
from tests.apps import BASE, ROLES, Person, embedded, running
from tests.system.live import Live, migrated
from tests.system.moving.traffic import Traffic, place_in, rebuild

# Where a move is stopped: a call of either place, and before which occurrence of it; -1: while writers wait.
STOPS = (
    *(("new receive", 1), ("new loading", 1), ("old moment", 2), ("old switching", 1), ("old moment", -1)),
    ("new open", 1),
)


class Stopped(BaseException):
    """Stops a move like `kill -9`."""


class ReportingPlace:
    """A place that reports each call before it is made."""

    def __init__(self, inner: StorePlace, notice: Callable[[str], None]) -> None:
        self._inner = inner
        self._notice = notice

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any) -> Any:
            self._notice(name)
            return found(*args)

        return call


class OldAndNewPlace:
    """The old place and the new one, and a move between them that may be stopped."""

    def __init__(self, old: StorePlace, new: StorePlace) -> None:
        self.old, self.new = old, new

    def run(self, urls: tuple[str, str], stop: str = "", nth: int = 0) -> None:
        """Run a move. Stop it before the `nth` call of `stop`, or with -1 before the one while writers wait."""
        seen: list[str] = []

        def notice(what: str) -> None:
            seen.append(what)
            reached = "old switching" in seen if nth < 0 else seen.count(stop) == nth
            if what == stop and reached:
                raise Stopped

        old: Any = ReportingPlace(self.old, lambda name: notice(f"old {name}"))
        new: Any = ReportingPlace(self.new, lambda name: notice(f"new {name}"))
        Move(old, new, say=lambda _: None, counted=lambda _, batches: batches, ended=ignore).run(*urls)


def ignore(_: End) -> None: ...


@contextmanager
def places(settings: Settings, role: str, url: str) -> Iterator[OldAndNewPlace]:
    patient = replace(settings, relational_timeout=60.0, documents_timeout=60.0)
    stores = [open_stores(patient), open_stores(at(patient, role, url))]
    old, new = (one.by_role()[role] for one in stores)
    new.migrate()
    assert old.place
    assert new.place
    try:
        yield OldAndNewPlace(old.place, new.place)
    finally:
        for one in stores:
            one.close()


def write_to(container: Container, role: str) -> None:
    """Write like a process that does not know of the move."""
    if role == "documents":
        container.stores.documents.views.apply(1, {uuid4(): 1})
        return
    with container.stores.relational.transaction() as tx:
        tx.stock.put(uuid4(), on_hand=1)


@pytest.mark.parametrize("role", ["relational", "documents"])
def test_a_role_moves_while_people_write_and_comes_back(role: str, tmp_path: Path) -> None:
    home, away = embedded(tmp_path)[f"{role}_url"], place_in(tmp_path, "away")
    with running(Settings(**embedded(tmp_path), threads=8)) as system:
        traffic = Traffic(system.container, people=2)
        with traffic.going_on():
            with places(system.container.settings, role, away) as both:
                for stop, nth in STOPS if role == "documents" else STOPS[-2:]:
                    with pytest.raises(Stopped):
                        both.run((home, away), stop, nth)
                    if stop != "new open":
                        assert getattr(traffic.container.settings, f"{role}_url") == home
                    traffic.until(4)
                # The last move was stopped after its switch; any process that reads the mark completes it.
                traffic.until_at(role, away)
                with pytest.raises(MovedAway):
                    write_to(system.container, role)
            with places(traffic.container.settings, role, home) as both:
                both.run((away, home))
                both.new.tidy()
            traffic.until_at(role, home)
            traffic.until(4)
        traffic.check()


def test_a_process_builds_its_new_stores_before_the_switch(tmp_path: Path) -> None:
    away = place_in(tmp_path, "away")
    built: list[Container] = []
    used: list[Container] = []

    def counted(settings: Settings) -> Container:
        built.append(rebuild(settings))
        return built[-1]

    settings = Settings(**embedded(tmp_path))
    with running(settings) as system, places(settings, "relational", away) as both:
        following = Following(system.container, used.append, counted)
        leaving = Mark("leaving", 0, away, "a move")
        for number in (1, 2):
            both.old.capture(leaving)
            for _ in range(2):
                following.look()
            assert len(built) == number
            if number == 1:
                both.old.release()
                following.look()
        assert used == []
        with both.old.switching(Mark("moved", 1, away, "a move")):
            following.look()
        following.look()
        assert used == built[1:] == [following.container]
        following.container.close()


def test_an_unusable_or_unchanged_place_is_reported_in_one_line(tmp_path: Path) -> None:
    urls = embedded(tmp_path)
    with running(Settings(**urls)) as system:
        system.person().publish()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "quartet.db")
    env = {f"QUARTET_{name.upper()}": url for name, url in urls.items() if name.endswith("_url")}
    said = {
        f"sqlite:///{link}": "documents is already there: ",
        f"sqlite:///{tmp_path}/../{tmp_path.name}/quartet.db": "documents is already there: ",
        "postgresql://quartet@127.0.0.1:1/none": "Error: --to: documents is unavailable: ",
        "nonsense": "Error: --to: the scheme must be one of ",
    }
    for url, text in said.items():
        done = CliRunner().invoke(main, ["move", "documents", "--to", url], env=env)
        assert (done.exit_code, done.output.count("\n")) == (int(text.startswith("Error")), 1), done.output
        assert done.output.startswith(text)


def test_a_process_started_with_an_outdated_url_uses_the_new_place(tmp_path: Path) -> None:
    away = place_in(tmp_path, "away")
    settings = Settings(**embedded(tmp_path))
    with running(settings) as system, places(settings, "documents", away) as both:
        both.run((settings.documents_url, away))
        begun = arrived(system.container, rebuild)
        try:
            assert begun.settings.documents_url == away
            assert arrived(begun, rebuild) is begun
        finally:
            begun.close()


def test_a_process_follows_a_move_to_a_place_that_does_not_answer(tmp_path: Path) -> None:
    """The process must not use the former place instead, whose data may be long outdated."""
    nowhere = "postgresql://quartet@127.0.0.1:1/none"
    settings = Settings(**embedded(tmp_path))
    with running(settings) as system:
        place = system.container.stores.documents.place
        assert place
        place.capture(Mark("leaving", 0, nowhere, "a move"))
        with place.switching(Mark("moved", 1, nowhere, "a move")):
            pass
        assert forwarded(settings, system.container.stores).documents_url == nowhere


def signed(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}", "If-Match": "*"}


def test_a_server_with_an_outdated_url_answers_from_the_new_place_at_once(tmp_path: Path) -> None:
    migrated(tmp_path)
    home, away = f"sqlite:///{tmp_path}/var/quartet.db", place_in(tmp_path, "away")
    urls: dict[str, Any] = dict.fromkeys((f"{role}_url" for role in ROLES), home)
    with running(Settings(**urls)) as system, places(system.container.settings, "documents", away) as both:
        author = system.person()
        both.run((home, away))
        with closing(rebuild(at(system.container.settings, "documents", away))) as there:
            body = {"title": "A", "body": "B"}
            answer = Client(create_app(there)).post(f"{BASE}/posts", json=body, headers=signed(author))
            post = answer.get_json()["post"]["id"]
    with closing(Live(tmp_path, WORKERS="1").answering()) as live:
        assert live.client().send("GET", f"/posts/{post}").status == 200
