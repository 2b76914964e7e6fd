"""Signing in and out over HTTP."""

from tests.apps import PASSWORD, System


def test_one_signs_in_by_handle_or_address(system: System) -> None:
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


def test_all_other_devices_are_ended_at_once(system: System) -> None:
    ada = system.person("ada")
    others = [system.anybody() for _ in range(3)]
    for other in others:
        other.token = other.post("/sessions", {"login": "ada", "password": PASSWORD})["token"]
    ada.delete("/sessions")
    assert [other.get("/accounts/me", 401)["code"] for other in others] == ["invalid_token"] * 3
    assert len(ada.get("/sessions")["items"]) == 1


def test_somebody_elses_session_is_not_there(system: System) -> None:
    ada, eve = system.person(), system.person()
    session = ada.get("/sessions")["items"][0]["id"]
    eve.delete(f"/sessions/{session}", 404)
    ada.get("/accounts/me")


def test_a_bad_header_is_refused_even_where_none_is_needed(system: System) -> None:
    anybody = system.anybody()
    for header in ("Bearer", "Bearer nope", "Basic YTpi", "nonsense"):
        response = anybody.send("GET", "/posts", headers={"Authorization": header})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
