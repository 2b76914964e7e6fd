"""Signing in and out over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import msgspec
import pytest

from app.services.people.sessions import NOTED_EVERY
from config import Settings
from repositories.errors import Unavailable
from repositories.hot.encoding import live_session
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.http.world import ShiftedClock


def test_signing_in_accepts_handle_or_address(system: System) -> None:
    ada = system.person("ada")
    for login in ("ada", "ADA", "ada@example.com", "Ada@EXAMPLE.com"):
        answer = system.anybody().post("/sessions", {"login": login, "password": PASSWORD, "device": "phone"})
        assert set(answer) == {"token", "expires_at", "account"}
        assert answer["account"]["id"] == ada.account["id"]


def test_unknown_account_and_wrong_password_are_one_answer(system: System) -> None:
    system.person("ada")
    problems = [
        system.anybody().post("/sessions", {"login": login, "password": "wrong password"}, 401)
        for login in ("ada", "nobody", "nobody@example.com")
    ]
    for problem in problems:
        problem.pop("request_id")
    assert problems[0] == problems[1] == problems[2]


def test_devices_are_listed_and_ended_one_by_one(system: System) -> None:
    ada = system.person("ada")
    ada.post("/sessions", {"login": "ada", "password": PASSWORD, "device": "tablet"})
    items = ada.get("/sessions")["items"]
    assert [(i["device"], i["current"]) for i in items] == [("tablet", False), (None, True)]
    first = ada.get("/sessions", limit=1)
    second = ada.get("/sessions", limit=1, cursor=first["next"])
    assert (first["items"] + second["items"], second["next"]) == (items, None)
    ada.delete(f"/sessions/{items[0]['id']}")
    assert ada.delete(f"/sessions/{items[0]['id']}", 404)["code"] == "not_found"
    ada.delete("/sessions/current")
    assert ada.get("/sessions", 401)["code"] == "invalid_token"


def test_every_end_is_recorded_as_an_ending(system: System) -> None:
    ada, before = system.person("ada"), system.container.kit.clock()
    items = [ada.post("/sessions", {"login": "ada", "password": PASSWORD}), *ada.get("/sessions")["items"]]
    ada.delete(f"/sessions/{items[1]['id']}")
    ada.delete("/sessions")
    ada.delete("/sessions/current")
    found = system.container.stores.relational.endings.since(before, limit=9)
    own = UUID(items[2]["id"])
    assert [(one.session_id, one.kept_id) for one in found] == [(UUID(items[1]["id"]), None), (None, own), (own, None)]
    assert {str(one.account_id) for one in found} == {ada.account["id"]}


def test_all_other_devices_are_ended_at_once(system: System) -> None:
    ada = system.person("ada")
    others = [system.anybody() for _ in range(3)]
    for other in others:
        other.token = other.post("/sessions", {"login": "ada", "password": PASSWORD})["token"]
    ada.delete("/sessions")
    assert [other.get("/accounts/me", 401)["code"] for other in others] == ["invalid_token"] * 3
    assert len(ada.get("/sessions")["items"]) == 1


def test_a_device_is_read_by_its_id(system: System) -> None:
    ada = system.person("ada")
    ada.post("/sessions", {"login": "ada", "password": PASSWORD, "device": "tablet"})
    items = ada.get("/sessions")["items"]
    assert [ada.get(f"/sessions/{item['id']}") for item in items] == items
    ada.delete(f"/sessions/{items[0]['id']}")
    assert ada.get(f"/sessions/{items[0]['id']}", 404)["code"] == "not_found"


def test_the_session_of_another_account_is_not_found(system: System) -> None:
    ada, eve = system.person(), system.person()
    session = ada.get("/sessions")["items"][0]["id"]
    eve.get(f"/sessions/{session}", 404)
    eve.delete(f"/sessions/{session}", 404)
    ada.get("/accounts/me")


def test_a_bad_header_is_refused_even_where_optional(system: System) -> None:
    anybody = system.anybody()
    for header in ("Bearer", "Bearer nope", "Basic YTpi", "nonsense"):
        response = anybody.send("GET", "/posts", headers={"Authorization": header})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("method", "path", "status"), [("TRACE", "/accounts", 405), ("GET", "/nothing", 404)])
def test_an_invalid_token_hides_no_missing_route(system: System, method: str, path: str, status: int) -> None:
    response = system.anybody().send(method, path, headers={"Authorization": "Bearer x"})
    assert response.status_code == status


def listed(who: Person, **environ: Any) -> dict[str, Any]:
    """The only session in the person's list of sessions."""
    (item,) = who.send("GET", "/sessions", **environ).get_json()["items"]
    return dict(item)


def writes(system: System) -> Any:
    sessions = system.container.stores.sessions
    return patch.object(sessions, "note_use", wraps=sessions.note_use)


def test_a_session_shows_when_and_from_where_it_was_used_last(tmp_path: Path) -> None:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path)), clock) as system:
        ada = system.person("ada")
        first = listed(ada)
        assert (first["last_used_at"], first["last_address"]) == (first["created_at"], "127.0.0.1")
        clock.ahead += NOTED_EVERY
        for address, shown in (("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::")):
            with writes(system) as noted:
                ada.send("GET", "/accounts/me", environ_base={"REMOTE_ADDR": address})
                now = listed(ada, environ_base={"REMOTE_ADDR": "198.51.100.9"})
            assert noted.call_count == 1
            assert now["last_address"] == shown
            assert now["last_used_at"] > first["last_used_at"]
            clock.ahead += NOTED_EVERY
            first = now


def test_within_five_minutes_no_use_is_written(tmp_path: Path) -> None:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path)), clock) as system:
        ada = system.person("ada")
        clock.ahead += NOTED_EVERY - timedelta(seconds=30)
        with writes(system) as noted:
            for _ in range(3):
                answer = ada.send("GET", "/wallet", environ_base={"REMOTE_ADDR": "203.0.113.7"})
                assert "sessions;dur=" in answer.headers["Server-Timing"]
                assert '"1 round trip"' in answer.headers["Server-Timing"]
        assert noted.call_count == 0
        assert listed(ada)["last_address"] == "127.0.0.1"


def test_behind_a_proxy_the_address_is_that_of_the_client(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"proxies": 1})) as system:
        ada = system.person("ada")
        body = {"login": "ada", "password": PASSWORD}
        other = system.anybody()
        headers = {"X-Forwarded-For": "192.0.2.1, 203.0.113.7"}
        other.token = other.send("POST", "/sessions", json=body, headers=headers).get_json()["token"]
        assert [item["last_address"] for item in ada.get("/sessions")["items"]] == ["203.0.113.7", "127.0.0.1"]


def test_a_use_that_cannot_be_noted_fails_no_request(tmp_path: Path) -> None:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path)), clock) as system:
        ada = system.person("ada")
        clock.ahead += NOTED_EVERY
        with patch.object(system.container.stores.sessions, "note_use", side_effect=Unavailable("sessions")):
            assert ada.get("/accounts/me")


def test_sessions_of_an_earlier_version_are_listed(system: System) -> None:
    """Earlier versions stored them without a last use."""
    ada = system.person("ada")
    find: Callable[..., Any] = system.container.stores.sessions.find

    def earlier(digest: bytes, **now: Any) -> Any:
        fields = msgspec.to_builtins(find(digest, **now))
        del fields["used_at"], fields["address"]
        return live_session(msgspec.json.encode(fields), now["now"])

    with patch.object(system.container.stores.sessions, "find", earlier):
        session = system.container.people.sessions.authenticate(str(ada.token))
    assert (session.used_at, session.address) == (None, None)
    with patch.object(system.container.stores.sessions, "of_account", return_value=[session]):
        item = listed(ada)
    assert (item["last_used_at"], item["last_address"]) == (item["created_at"], None)
