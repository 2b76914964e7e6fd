"""Changing the own password, and the sessions of other devices."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from app.errors import Unauthenticated, WrongPassword
from app.services.people.sessions import Sessions
from config import Settings
from repositories.errors import Unavailable
from tests.apps import PASSWORD, Person, System, embedded, running

NEW = "seven grey pigeons"
CHANGE = {"current_password": PASSWORD, "new_password": NEW}
PATH = "/accounts/me/password"


def signed_in(system: System, login: str, password: str = PASSWORD, status: int = 201) -> Person:
    other = system.anybody()
    other.token = other.post("/sessions", {"login": login, "password": password}, status).get("token")
    return other


def services(system: System) -> Sessions:
    return system.container.people.sessions


def test_the_new_password_is_the_only_one_and_other_devices_are_signed_out(system: System) -> None:
    ada, eve = system.person("ada"), system.person()
    others = [signed_in(system, "ada") for _ in range(2)]
    ada.put(PATH, CHANGE)
    assert [other.get("/accounts/me", 401)["code"] for other in others] == ["invalid_token"] * 2
    assert [item["current"] for item in ada.get("/sessions")["items"]] == [True]
    signed_in(system, "ada", PASSWORD, 401)
    signed_in(system, "ada@example.com", NEW)
    assert eve.get("/accounts/me")


def test_a_change_done_again_is_no_error(system: System) -> None:
    """As a client repeats it whose answer was lost."""
    ada = system.person("ada")
    ada.put(PATH, CHANGE)
    other = signed_in(system, "ada", NEW)
    ada.put(PATH, CHANGE)
    assert other.get("/accounts/me", 401)["code"] == "invalid_token"
    assert ada.get("/accounts/me")


def test_a_wrong_current_password_changes_nothing(system: System) -> None:
    ada = system.person("ada")
    other = signed_in(system, "ada")
    assert ada.put(PATH, CHANGE | {"current_password": "wrong password"}, 403)["code"] == "wrong_password"
    assert other.get("/accounts/me")
    signed_in(system, "ada", NEW, 401)


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("short", "validation_failed"),
        ("x" * 257, "validation_failed"),
        ("password1", "password_too_common"),
        ("ada@example.com", "password_too_common"),
        (None, "validation_failed"),
    ],
)
def test_the_new_password_obeys_the_rules(system: System, new: str | None, code: str) -> None:
    ada = system.person("ada")
    problem = ada.put(PATH, CHANGE | {"new_password": new}, 422)
    assert (problem["code"], [e["pointer"] for e in problem["errors"]]) == (code, ["/new_password"])
    signed_in(system, "ada")


def test_changing_needs_a_session(system: System) -> None:
    assert system.anybody().put(PATH, CHANGE, 401)["code"] == "unauthenticated"


def test_a_stolen_session_cannot_guess_the_password(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"login_failures": 3})) as system:
        ada = system.person("ada")
        for _ in range(3):
            ada.put(PATH, CHANGE | {"current_password": "wrong password"}, 403)
        problem = ada.send("PUT", PATH, json=CHANGE)
        assert (problem.status_code, problem.get_json(force=True)["code"]) == (429, "too_many_requests")
        assert int(problem.headers["Retry-After"]) > 0
        signed_in(system, "ada", PASSWORD, 429)


def test_the_event_ends_the_sessions_if_the_request_could_not(system: System) -> None:
    ada = system.person("ada")
    former = signed_in(system, "ada")
    with patch.object(system.container.stores.sessions, "end_all", side_effect=Unavailable("sessions")):
        ada.put(PATH, CHANGE, 503)
    assert former.get("/accounts/me"), "or this test shows nothing"
    later = signed_in(system, "ada", NEW)
    system.relay.drain()
    assert former.get("/accounts/me", 401)["code"] == "invalid_token"
    assert ada.get("/accounts/me")
    assert later.get("/accounts/me"), "signed in with the new password"


def test_a_refused_change_has_no_event(system: System) -> None:
    ada = system.person("ada")
    system.relay.drain()
    ada.put(PATH, CHANGE | {"current_password": "wrong password"}, 403)
    assert system.container.stores.relational.outbox.backlog().unsent == 0


def test_a_sign_in_that_read_the_former_password_does_not_last(system: System) -> None:
    ada = system.person("ada")
    found = services(system).known("ada")
    ada.put(PATH, CHANGE)
    with pytest.raises(Unauthenticated):
        services(system).sign_in(found, PASSWORD, None)
    assert len(ada.get("/sessions")["items"]) == 1


def test_one_of_two_concurrent_changes_wins(system: System) -> None:
    ada = system.person("ada")
    other = signed_in(system, "ada")
    people = system.container.people
    mine, theirs = (services(system).authenticate(str(who.token)) for who in (ada, other))
    plain: Any = people.hasher.hash

    def overtaken(password: str) -> Any:
        with patch.object(people.hasher, "hash", plain):
            people.password_changes.change(theirs, PASSWORD, "eight green herons")
        return plain(password)

    with patch.object(people.hasher, "hash", overtaken), pytest.raises(WrongPassword):
        people.password_changes.change(mine, PASSWORD, NEW)
    signed_in(system, "ada", NEW, 401)
    assert other.get("/accounts/me")
    assert ada.get("/accounts/me", 401)["code"] == "invalid_token"
