"""CORS: what browser apps of allowed origins may send and read, and that other origins may not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.http import create_app
from config import Settings
from tests.apps import BASE, PASSWORD, System, embedded, running

APP, OTHER = "https://app.example.com", "http://localhost:5173"
NEEDED = {
    "quartet-seen",
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "last-event-id",
    "x-request-id",
    # Sent by the tracing of a browser app (W3C Trace Context), and read by the server.
    "traceparent",
    "tracestate",
}
SEEN = {
    "etag",
    "location",
    "retry-after",
    "idempotent-replayed",
    "ratelimit",
    "x-request-id",
    "age",
    "cache-status",
    "server-timing",
    "www-authenticate",
    "content-disposition",
}
STRANGERS = ["https://evil.example", "null", f"{APP}.evil.example", "https://APP.example.com", f"{APP}/", f"{APP}:8443"]
# One of each kind of path, and one that does not exist.
PATHS = ["/api/v1/posts", "/api/v1/accounts/me", "/api/v1/feed/stream", "/openapi.json", "/health/live", "/nowhere"]


@pytest.fixture(params=[True, False], ids=["fast path", "through Flask"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    settings = Settings(
        **embedded(tmp_path), cors_origins=f"{APP}, {OTHER},", fast_path=request.param, shared_seconds=60
    )
    with running(settings) as found:
        yield found


def asked(system: System, path: str, method: str = "GET", origin: str | None = APP, **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if origin:
        sent["Origin"] = origin
    return system.app.test_client().open(path, method=method, headers=sent)


def preflight(system: System, path: str, origin: str, method: str = "PATCH") -> TestResponse:
    wanted = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": "authorization,if-match"}
    return asked(system, path, "OPTIONS", origin, **wanted)


def names(listed: str) -> set[str]:
    return {name.strip().lower() for name in listed.split(",")}


def fields_of_cors(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.lower().startswith("access-control-")}


def is_allowed(answer: TestResponse, origin: str = APP) -> None:
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]
    assert names(answer.headers["Access-Control-Expose-Headers"]) >= SEEN
    assert "Access-Control-Allow-Credentials" not in answer.headers
    varies(answer)


def varies(answer: TestResponse) -> None:
    assert len(answer.headers.getlist("Vary")) == 1
    assert names(answer.headers["Vary"]) == {"authorization", "accept-encoding", "origin"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [APP, OTHER])
def test_a_preflight_allows_what_an_app_sends(system: System, path: str, origin: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = preflight(system, path, origin, method)
        assert (answer.status_code, answer.data) == (204, b"")
        is_allowed(answer, origin)
        assert method.lower() in names(answer.headers["Access-Control-Allow-Methods"])
        assert names(answer.headers["Access-Control-Allow-Headers"]) == NEEDED
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("origin", STRANGERS)
def test_another_origin_gets_no_cors_fields(system: System, origin: str) -> None:
    for path in PATHS:
        for answer in (preflight(system, path, origin), asked(system, path, origin=origin)):
            assert fields_of_cors(answer) == {}
            varies(answer)
            answer.close()


def test_an_ordinary_options_request_is_no_preflight(system: System) -> None:
    answer = asked(system, f"{BASE}/posts", "OPTIONS")
    assert answer.status_code == 200
    assert names(answer.headers["Allow"]) == {"get", "head", "options", "post"}
    is_allowed(answer)


def test_kept_pages_serve_every_origin(system: System) -> None:
    post = system.person().publish()
    path = f"{BASE}/posts/{post}"
    for _ in range(3):
        asked(system, path, origin=None)
    found = {origin: asked(system, path, origin=origin) for origin in (APP, OTHER, None, "https://evil.example")}
    assert all("; hit" in answer.headers["Cache-Status"] for answer in found.values())
    assert len({answer.data for answer in found.values()}) == 1
    for origin in (APP, OTHER):
        is_allowed(found[origin], origin)
    for stranger in (None, "https://evil.example"):
        assert fields_of_cors(found[stranger]) == {}
        varies(found[stranger])
    known = asked(system, path, If_None_Match=found[APP].headers["ETag"])
    assert known.status_code == 304
    is_allowed(known)
    is_allowed(asked(system, path, "HEAD"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{BASE}/accounts/me", 401),
        ("GET", f"{BASE}/posts/0", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", f"{BASE}/posts", 405),
        ("GET", f"{BASE}/posts?limit=no", 400),
        ("POST", f"{BASE}/sessions", 400),
    ],
)
def test_errors_have_cors_fields(system: System, method: str, path: str, status: int) -> None:
    answer = asked(system, path, method)
    assert answer.status_code == status
    is_allowed(answer)


def test_an_unforeseen_error_has_cors_fields(system: System) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    system.app.view_functions["health.get_liveness"] = broken
    answer = asked(system, "/health/live")
    assert answer.status_code == 500
    is_allowed(answer)


def test_documented_header_fields_are_allowed_and_exposed(system: System) -> None:
    document = system.app.test_client().get("/openapi.json").get_json()
    operations = [one for path in document["paths"].values() for one in path.values() if isinstance(one, dict)]
    sent = {asks["name"] for one in operations for asks in one.get("parameters", []) if asks.get("in") == "header"}
    seen = {name for one in operations for answer in one["responses"].values() for name in answer.get("headers", {})}
    allowed = preflight(system, PATHS[0], APP).headers
    assert {name.lower() for name in sent} <= names(allowed["Access-Control-Allow-Headers"])
    assert {name.lower() for name in seen} <= names(allowed["Access-Control-Expose-Headers"])
    assert {"If-Match", "ETag"} <= sent | seen


def test_a_session_from_another_origin(system: System) -> None:
    system.person("ada")
    client = system.app.test_client()
    body = {"login": "ada", "password": PASSWORD}
    signed = client.post(f"{BASE}/sessions", json=body, headers={"Origin": APP})
    assert signed.status_code == 201
    is_allowed(signed)
    token = {"Authorization": f"Bearer {signed.get_json()['token']}"}
    is_allowed(asked(system, f"{BASE}/accounts/me", **token))
    stream = asked(system, f"{BASE}/feed/stream", **token)
    assert stream.mimetype == "text/event-stream"
    is_allowed(stream)
    stream.close()


def test_preflights_are_not_counted(system: System) -> None:
    limited = replace(system.container.settings, rate_per_second=0.01, rate_burst=1)
    with running(limited) as other:
        assert [preflight(other, f"{BASE}/posts", APP).status_code for _ in range(3)] == [204] * 3
        found = [asked(other, f"{BASE}/posts") for _ in range(2)]
        assert [answer.status_code for answer in found] == [200, 429]
        for answer in found:
            is_allowed(answer)


def test_without_the_setting_there_are_no_cors_fields(system: System) -> None:
    container = system.container
    plain = create_app(replace(container, settings=replace(container.settings, cors_origins="")))
    for method in ("GET", "OPTIONS"):
        sent = {"Origin": APP, "Access-Control-Request-Method": "GET"}
        answer = plain.test_client().open(f"{BASE}/posts", method=method, headers=sent)
        assert answer.status_code == 200
        assert fields_of_cors(answer) == {}
        assert answer.headers.getlist("Vary") == ["Authorization, Accept-Encoding"]
