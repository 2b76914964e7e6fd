"""Accounts, profiles, follows and blocks over HTTP."""

from typing import Any

import pytest

from tests.apps import PASSWORD, System

REGISTRATION = {"handle": "ada", "email": "ada@example.com", "password": PASSWORD, "display_name": "Ada"}


def test_registering_answers_with_the_own_card(system: System) -> None:
    response = system.anybody().send("POST", "/accounts", json=REGISTRATION)
    assert response.status_code == 201
    assert response.headers["Location"] == "/api/v1/accounts/ada"
    assert response.headers["ETag"].startswith('"1-')
    card = response.get_json()
    assert card["account"]["email"] == "ada@example.com"
    assert card["stats"] == {"followers": 0, "following": 0, "posts": 0}
    assert "viewer" not in card


def test_a_profile_shows_no_address(system: System) -> None:
    ada = system.person("ada")
    card = system.person().get("/accounts/ADA")
    assert card["account"] == {k: v for k, v in ada.account.items() if k not in {"email", "email_verified"}}
    assert card["viewer"] == {"following": False, "follows_you": False, "blocking": False}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("handle", "ADA", "handle_taken"), ("email", "Ada@Example.COM", "email_taken")],
)
def test_handle_and_address_are_unique_without_case(system: System, field: str, value: str, code: str) -> None:
    anybody = system.anybody()
    anybody.post("/accounts", REGISTRATION)
    other = {**REGISTRATION, "handle": "eve", "email": "eve@example.com", field: value}
    assert anybody.post("/accounts", other, 409)["code"] == code


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("handle", "ab"),
        ("handle", "a" * 31),
        ("handle", "a-b-c"),
        ("handle", "abc\n"),
        ("handle", 5),
        ("password", "short"),
        ("password", "x" * 257),
        ("display_name", ""),
        ("display_name", "x" * 81),
        ("display_name", "a\x00b"),
        ("email", "nobody"),
        ("email", None),
        ("role", "admin"),
        ("version", 7),
    ],
)
def test_a_wrong_field_is_named(system: System, field: str, value: object) -> None:
    problem = system.anybody().post("/accounts", {**REGISTRATION, field: value}, 422)
    assert [e["pointer"] for e in problem["errors"]] == [f"/{field}"]


def test_editing_needs_the_current_entity_tag(system: System) -> None:
    ada = system.person("ada")
    first = ada.etag("/accounts/me")
    assert ada.patch("/accounts/me", {"bio": "x"}, 428)["code"] == "precondition_required"
    card = ada.patch("/accounts/me", {"bio": "Mathematics.", "image_url": "https://example.com/ada.png"}, etag=first)
    assert (card["account"]["bio"], card["account"]["version"]) == ("Mathematics.", 2)
    assert ada.patch("/accounts/me", {"bio": "x"}, 412, etag=first)["code"] == "precondition_failed"
    assert ada.patch("/accounts/me", {"bio": "y"}, etag="*")["account"]["version"] == 3


@pytest.mark.parametrize("url", ["http://localhost:8000/a.png", "HTTPS://é.example/ä?x#y", "http://[::1]/", "http://a"])
def test_a_picture_is_a_web_address(system: System, url: str) -> None:
    assert system.person().patch("/accounts/me", {"image_url": url}, etag="*")["account"]["image_url"] == url


@pytest.mark.parametrize(
    "url", ["", "a.png", "http://", "https:///a", "http:// a", "http://a b", "http://a\n", "javascript:alert(1)",
            "ftp://a", "data:,a", 'http://a"onload=', "http://a<b>", "http://a\u2028b", " http://a"],
)  # fmt: skip
def test_other_picture_urls_are_refused(system: System, url: str) -> None:
    system.person().patch("/accounts/me", {"image_url": url}, 422, etag="*")


def test_a_handle_can_change(system: System) -> None:
    ada, eve = system.person("ada"), system.person("eve")
    ada.patch("/accounts/me", {"handle": "lovelace"}, etag="*")
    assert eve.get("/accounts/ada", 404)["code"] == "not_found"
    assert eve.get("/accounts/Lovelace")["account"]["id"] == ada.account["id"]
    assert eve.patch("/accounts/me", {"handle": "LOVELACE"}, 409, etag="*")["code"] == "handle_taken"


def test_following_is_idempotent_and_counted_at_once(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    for _ in range(2):
        bob.put("/accounts/ada/follow")
    card = ada.get("/accounts/bob")
    assert card["stats"]["following"] == 1
    assert card["viewer"] == {"following": False, "follows_you": True, "blocking": False}
    assert ada.get("/accounts/me")["stats"]["followers"] == 1
    assert [i["account"]["handle"] for i in ada.get("/accounts/ada/followers")["items"]] == ["bob"]
    for _ in range(2):
        bob.delete("/accounts/ada/follow")
    assert ada.get("/accounts/me")["stats"]["followers"] == 0


def test_oneself_cannot_be_followed_or_blocked(system: System) -> None:
    ada = system.person("ada")
    assert ada.put("/accounts/ada/follow", status=409)["code"] == "own_account"
    assert ada.put("/accounts/ada/block", status=409)["code"] == "own_account"


def test_follower_lists_page_in_order(system: System) -> None:
    ada = system.person("ada")
    fans = [system.person() for _ in range(5)]
    for fan in fans:
        fan.put("/accounts/ada/follow")
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = ada.get("/accounts/ada/followers", limit=2, **cursor)
        found += [item["account"]["handle"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == [fan.handle for fan in reversed(fans)]


def test_blocks_page_in_order_and_are_the_callers_own(system: System) -> None:
    ada, eve = system.person("ada"), system.person("eve")
    for number in range(5):
        system.person(f"troll_{number}")
        ada.put(f"/accounts/troll_{number}/block")
    eve.put("/accounts/ada/block")
    first = ada.get("/accounts/me/blocks", limit=3)
    second = ada.get("/accounts/me/blocks", limit=3, cursor=first["next"])
    items = first["items"] + second["items"]
    assert [item["account"]["handle"] for item in items] == [f"troll_{number}" for number in (4, 3, 2, 1, 0)]
    assert {item["viewer"]["blocking"] for item in items} == {True}
    assert second["next"] is None
    ada.delete("/accounts/troll_4/block")
    assert [i["account"]["handle"] for i in ada.get("/accounts/me/blocks", limit=1)["items"]] == ["troll_3"]
    assert [i["account"]["handle"] for i in eve.get("/accounts/me/blocks")["items"]] == ["ada"]
    assert eve.get("/accounts/me/blocks", 400, cursor=first["next"])["code"] == "bad_cursor"
    assert system.anybody().get("/accounts/me/blocks", 401)["code"] == "unauthenticated"
    response = ada.send("GET", "/accounts/me/blocks")
    assert response.headers["Cache-Control"] == "private, no-store"


def test_a_block_ends_both_follows_and_forbids_interactions(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    post = ada.publish()
    ada.put("/accounts/bob/follow")
    bob.put("/accounts/ada/follow")
    ada.put("/accounts/bob/block")
    assert ada.get("/accounts/me")["stats"] == {"followers": 0, "following": 0, "posts": 1}
    for person, other in ((ada, "bob"), (bob, "ada")):
        assert person.put(f"/accounts/{other}/follow", status=403)["code"] == "blocked"
    assert bob.put(f"/posts/{post}/like", status=403)["code"] == "blocked"
    assert bob.post(f"/posts/{post}/comments", {"body": "hm"}, 403)["code"] == "blocked"
    assert bob.get(f"/posts/{post}")["post"]["id"] == post
    assert ada.get("/accounts/bob")["viewer"]["blocking"] is True
    assert bob.get("/accounts/ada")["viewer"]["blocking"] is False
    ada.delete("/accounts/bob/block")
    bob.put("/accounts/ada/follow")


@pytest.mark.parametrize("password", ["password", "12345678", "ada.12345", "quartet!"])
def test_a_common_password_is_refused(system: System, password: str) -> None:
    problem = system.anybody().post("/accounts", {**REGISTRATION, "password": password}, 422)
    assert (problem["code"], [e["pointer"] for e in problem["errors"]]) == ("password_too_common", ["/password"])


@pytest.mark.parametrize("header", ["Bearer dead", "Bearer", "Basic YTpi", "x"])
def test_registering_and_signing_in_ignore_an_old_token(system: System, header: str) -> None:
    for path, body in (("/accounts", REGISTRATION), ("/sessions", {"login": "ada", "password": PASSWORD})):
        response = system.anybody().send(
            "POST", path, json={**body, "password": PASSWORD}, headers={"Authorization": header}
        )
        assert response.status_code == 201, response.data
