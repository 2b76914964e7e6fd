"""The console: who may read it, and who may change anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.http import create_app
from config import Settings
from tests.apps import System, embedded, running
from tests.http.console_pages import HTMX, PAGES, TOKEN, form_token, shown, signed_in

FORM = "application/x-www-form-urlencoded"


def production(tmp_path: Path, **changes: Any) -> Settings:
    return Settings(**embedded(tmp_path), env="production", secret_key="s" * 40, allow_embedded=True, **changes)


def test_production_has_no_console_without_a_token(tmp_path: Path) -> None:
    with running(production(tmp_path)) as system:
        for path in ("/console", "/console/sign-in", "/console/assets/console.css"):
            assert system.app.test_client().get(path).status_code == 404
        assert not [rule for rule in system.app.url_map.iter_rules() if rule.rule.startswith("/console")]


def test_production_with_a_token_has_a_cookie_for_tls_alone(tmp_path: Path) -> None:
    with running(production(tmp_path, console_token=TOKEN)) as system:
        answer = system.app.test_client().post("/console/sign-in", data={"token": TOKEN})
        for attribute in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/console"):
            assert f"; {attribute}" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "stranger",
    [
        {"environ_overrides": {"REMOTE_ADDR": "203.0.113.7"}},
        {"environ_overrides": {"REMOTE_ADDR": "not an address"}},
        {"headers": {"Host": "rebound.example.com"}},
        {"headers": {"Host": "localhost.example.com:8000"}},
        {"headers": {"Host": "[::1"}},
    ],
)
def test_without_a_token_it_is_open_to_this_machine_alone(console: FlaskClient, stranger: dict[str, Any]) -> None:
    for path in (*PAGES, "/sign-in"):
        assert "this machine only" in shown(console.get(f"/console{path}", **stranger), 403)
    assert console.post("/console/sign-out", **stranger).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_local_host_names_are_accepted(console: FlaskClient, host: str) -> None:
    shown(console.get("/console", headers={"Host": host}))


def test_with_a_token_nothing_is_shown_before_signing_in(guarded: System) -> None:
    client = guarded.app.test_client()
    for path in [*PAGES, "/dead-letters/relational/all"]:
        answer = client.get(f"/console{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in")
        partial = client.get(f"/console{path}", headers=HTMX)
        assert (partial.status_code, partial.headers["HX-Redirect"]) == (401, "/console/sign-in")
        assert "Set-Cookie" not in answer.headers
    assert client.post("/console/dead-letters/relational/all").headers["Location"] == "/console/sign-in"


def test_signing_in_and_out(guarded: System, caplog: pytest.LogCaptureFixture) -> None:
    client = guarded.app.test_client()
    assert "Token" in shown(client.get("/console/sign-in"))
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], "\N{SNOWMAN}", "\0"):
        assert "not the console's token" in shown(client.post("/console/sign-in", data={"token": wrong}), 401)
    damaged = client.post("/console/sign-in", data="token=%ff%ed%a0%80", content_type=FORM)
    assert damaged.status_code == 401
    caplog.set_level("DEBUG")
    answer = client.post("/console/sign-in", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
    assert TOKEN not in str(answer.headers)
    assert TOKEN not in caplog.text
    assert "Stores" in shown(client.get("/console"))
    answer = client.post("/console/sign-out", data={"form_token": form_token(client)})
    assert answer.headers["Location"] == "/console/sign-in"
    assert client.get("/console").status_code == 303


def test_the_token_cannot_be_guessed_for_long(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path), console_token=TOKEN, login_failures=3)) as system:
        client = system.app.test_client()
        for _ in range(3):
            assert client.post("/console/sign-in", data={"token": "wrong"}).status_code == 401
        assert "too many" in shown(client.post("/console/sign-in", data={"token": TOKEN}), 429)


def test_a_cookie_is_valid_for_one_token_and_one_secret(guarded: System, tmp_path: Path) -> None:
    client = signed_in(guarded)
    cookie = client.get_cookie("quartet_console", path="/console")
    assert cookie
    settings = guarded.container.settings
    for changed_settings in (
        replace(settings, console_token="another " + TOKEN),
        replace(settings, secret_key="k" * 40),
    ):
        other = create_app(replace(guarded.container, settings=changed_settings))
        stranger = other.test_client()
        stranger.set_cookie("quartet_console", cookie.value, path="/console")
        assert stranger.get("/console").status_code == 303
    for changed in (cookie.value[:-2], "x" + cookie.value, ""):
        client.set_cookie("quartet_console", changed, path="/console")
        assert client.get("/console").status_code == 303


def test_a_token_is_long_enough() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_CONSOLE_TOKEN", "short")
        with pytest.raises(Exception, match="CONSOLE_TOKEN"):
            Settings.from_env()


@pytest.mark.parametrize("path", ["/sign-out", "/dead-letters/relational/all"])
def test_changes_need_a_form_of_this_session(guarded: System, path: str) -> None:
    client, other = signed_in(guarded), signed_in(guarded)
    own = form_token(client)
    for data, headers in (
        ({}, {}),
        ({"form_token": own[:-1]}, {}),
        ({"form_token": form_token(other)}, {}),
        ({"form_token": own}, {"Sec-Fetch-Site": "cross-site"}),
        ({"form_token": own}, {"Sec-Fetch-Site": "same-site"}),
    ):
        assert "Nothing was done" in shown(client.post(f"/console{path}", data=data, headers=headers), 403)
    assert client.get(f"/console{path}").status_code in {200, 405}
    good = client.post(f"/console{path}", data={"form_token": own}, headers={"Sec-Fetch-Site": "same-origin"})
    assert good.status_code == 303


def test_a_form_of_another_site_cannot_sign_in(guarded: System) -> None:
    sent = {"data": {"token": TOKEN}, "headers": {"Sec-Fetch-Site": "cross-site"}}
    assert guarded.app.test_client().post("/console/sign-in", **sent).status_code == 403
