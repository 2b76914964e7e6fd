"""Requests to a process that knows of a move but has not followed it yet, while others already use the new place."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.test import Client

from app import moved_roles
from app.container import Container
from app.http import create_app
from app.http.following_moves import Current
from app.moved_roles import IDLE_SECONDS, Following, at
from app.moving import mover
from app.stores import Stores
from config import Settings
from repositories.moving.places import Mark
from tests.apps import BASE, PASSWORD, Person, embedded, running
from tests.system.moving.test_moving import ignore, places, signed
from tests.system.moving.traffic import place_in, rebuild

# Seconds: longer than any machine takes to copy nothing.
LONG = 3600.0


class LateFollower(NamedTuple):
    """`here` is a client of the process that follows late, `there` one of a process at the new place, `away`."""

    here: Client
    there: Client
    person: Person
    current: Current
    following: Following
    away: str

    def publish(self) -> str:
        body = {"title": "A", "body": "B"}
        answer = self.there.post(f"{BASE}/posts", json=body, headers=signed(self.person))
        return str(answer.get_json()["post"]["id"])

    def here_status(self, method: str, path: str, **more: Any) -> int:
        return self.here.open(BASE + path, method=method, headers=signed(self.person), **more).status_code


@contextmanager
def late(folder: Path, role: str, make: Callable[[Container], Flask] = create_app) -> Iterator[LateFollower]:
    """A process that has not followed the move of the role, which is complete."""
    away, settings = place_in(folder, "away"), Settings(**embedded(folder))
    with running(settings) as system, places(settings, role, away) as both:
        person = system.person()
        current = Current(system.container, make)
        following = Following(system.container, current.use, rebuild, current.prepare)
        current.is_moving, current.has_moved = following.is_moving, following.has_moved
        both.old.capture(Mark("leaving", 0, away, "a move"))
        following.look()
        both.old.release()
        both.run((getattr(settings, f"{role}_url"), away))
        with closing(rebuild(at(settings, role, away))) as other:
            yield LateFollower(Client(current), Client(create_app(other)), person, current, following, away)
        following.look()
        following.container.close()
        following.close()


@contextmanager
def following_late(folder: Path, role: str) -> Iterator[LateFollower]:
    """A process that follows the move after the old place has answered its first request."""
    found: list[LateFollower] = []

    def make(container: Container) -> Flask:
        app = create_app(container)
        inner = app.wsgi_app

        def answer_and_follow(environ: Any, start: Any) -> Any:
            body = inner(environ, start)
            for one in found:
                one.following.look()
            return body

        app.wsgi_app = answer_and_follow  # type: ignore[assignment, method-assign]  # Flask's documented way
        return app

    with late(folder, role, make) as one:
        found.append(one)
        yield one


class UnreadBody:
    """The empty body of a request as the server passes it: it can be read, but is not a file."""

    def read(self, *_: int) -> bytes:
        return b""


def test_a_record_missing_at_the_old_place_is_read_at_the_new_one(tmp_path: Path) -> None:
    with late(tmp_path, "documents") as one:
        post, following_soon = one.publish(), threading.Timer(0.0, one.following.look)
        has_moved = one.current.has_moved

        def noticed() -> bool:
            moved = has_moved()
            following_soon.start()
            return moved

        one.current.has_moved = noticed
        assert one.here_status("DELETE", f"/posts/{post}") == 204
        following_soon.join()


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("DELETE", 204)])
def test_requests_without_a_body_are_answered_from_the_new_place(method: str, status: int, tmp_path: Path) -> None:
    with following_late(tmp_path, "documents") as one:
        post = one.publish()
        assert one.here_status(method, f"/posts/{post}", environ_overrides={"wsgi.input": UnreadBody()}) == status


def test_values_read_at_the_old_place_are_not_cached(tmp_path: Path) -> None:
    """A process that reads at the old place after the mark was written fills no cached value."""
    with late(tmp_path, "documents") as one:
        post, old = one.publish(), one.current.app
        assert Client(old).get(f"{BASE}/posts/{post}").status_code == 404
        assert one.there.get(f"{BASE}/posts/{post}").status_code == 200


def test_an_account_registered_at_the_new_place_can_sign_in(tmp_path: Path) -> None:
    with following_late(tmp_path, "relational") as one:
        login = {"handle": "newcomer", "password": PASSWORD}
        account = login | {"email": "newcomer@example.com", "display_name": "New"}
        assert one.there.post(f"{BASE}/accounts", json=account).status_code == 201
        signed_in = one.here.post(f"{BASE}/sessions", json={"login": "newcomer", "password": PASSWORD})
        assert signed_in.status_code == 201


@pytest.mark.parametrize("path", ["/accounts/me", "/feed"])
def test_a_signed_in_client_reads_while_sessions_move(path: str, tmp_path: Path) -> None:
    with following_late(tmp_path, "sessions") as one:
        assert one.here_status("GET", path) == 200


def test_a_move_switches_after_all_processes_had_time_to_notice_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That time includes building their stores at the new place."""
    monkeypatch.setattr(mover, "NOTICED_SECONDS", LONG)
    away, settings, waited = place_in(tmp_path, "away"), Settings(**embedded(tmp_path)), list[float]()
    with running(settings) as system, places(settings, "documents", away) as both:
        following = Following(system.container, lambda _: None, rebuild)
        assert following.look() == IDLE_SECONDS

        def wait(seconds: float) -> None:
            waited.append(seconds)
            following.look()

        mover.Move(
            *(both.old, both.new),
            say=lambda _: None,
            counted=lambda _, batches: batches,
            ended=ignore,
            wait=wait,
        ).run(settings.documents_url, away)
        assert [LONG >= one > 0 for one in waited] == [True]
        assert following.has_moved()
        following.close()


def test_a_process_that_knows_of_a_move_follows_with_open_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_stores(*_: Any) -> Stores:
        raise AssertionError("writers would wait for this")

    with late(tmp_path, "documents") as one:
        with monkeypatch.context() as patched:
            patched.setattr(moved_roles, "open_stores", open_stores)
            one.following.look()
        assert one.here_status("GET", f"/posts/{one.publish()}") == 200
        assert one.following.container.settings.documents_url == one.away


def test_stores_built_ahead_are_those_of_the_current_move(tmp_path: Path) -> None:
    """The move to the first place was killed, and the next one goes to another place."""
    urls, seen = [place_in(tmp_path, name) for name in ("first", "other")], list[str]()
    with running(Settings(**embedded(tmp_path))) as system:
        place = system.container.stores.documents.place
        assert place
        following = Following(
            *(system.container, lambda _: None, rebuild), lambda one: seen.append(one.settings.documents_url)
        )
        for move, url in enumerate(urls):
            place.capture(Mark("leaving", move, url, f"move {move}"))
            for _ in range(2):
                following.look()
        following.close()
    assert seen == urls
