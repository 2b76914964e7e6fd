"""Invalid input of all kinds is answered by problem+json of one shape, never by a 500."""

import io
import json
from typing import Any

import pytest

from tests.apps import BASE, Person, System

DEEP = "[" * 100_000


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": 1e400}',
        b'{"title": ' + b"9" * 5000 + b"}",
        DEEP.encode(),
        b'{"a":' * 40_000,
        b'{"title": "a", "title": "b", "body": "c"}',
        b'{"title": "\xff"}',
        b'\xef\xbb\xbf{"title": "a", "body": "b"}',
        '{"title": "a", "body": "b"}'.encode("utf-16"),
        b'{"title": "\\ud800", "body": "b"}',
        b'{"\\ud800": 1}',
        b'{"title": "a", "body": "b"} x',
    ],
)
def test_malformed_json_is_a_400(ada: Person, raw: bytes) -> None:
    response = ada.send("POST", "/posts", data=raw, content_type="application/json")
    problem = json.loads(response.data)
    assert (response.status_code, problem["code"]) == (400, "malformed_json")
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id"}


@pytest.mark.parametrize("raw", [b"[]", b"null", b"5", b'"text"', b"[1]", b'{"\\u0000": 1}', b'{"$gt": ""}'])
def test_json_of_the_wrong_shape_is_a_422(ada: Person, raw: bytes) -> None:
    response = ada.send("POST", "/posts", data=raw, content_type="application/json")
    assert response.status_code == 422
    assert json.loads(response.data)["errors"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_content_type_is_a_415(ada: Person, content_type: str | None) -> None:
    response = ada.send("POST", "/posts", data=b'{"title": "a", "body": "b"}', content_type=content_type)
    assert (response.status_code, json.loads(response.data)["code"]) == (415, "unsupported_media_type")


def test_a_body_over_the_limit_is_a_413(ada: Person) -> None:
    response = ada.send("POST", "/posts", data=b"x" * (256 * 1024 + 1), content_type="application/json")
    assert (response.status_code, json.loads(response.data)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(("size", "status"), [(256 * 1024, 400), (256 * 1024 + 1, 413)])
def test_a_body_of_unannounced_length_has_the_same_limit(ada: Person, size: int, status: int) -> None:
    response = ada.send(
        "POST",
        "/posts",
        input_stream=io.BytesIO(b" " * size),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert response.status_code == status


@pytest.mark.parametrize(
    "path", ["/nowhere", "/posts/5", "/posts/not-a-uuid", "/accounts/a", "/accounts/a%00bc", "/posts/"]
)
def test_an_unknown_route_is_a_404(ada: Person, path: str) -> None:
    assert ada.get(path, 404)["code"] == "not_found"


@pytest.mark.parametrize(("method", "path", "allowed"), [("PUT", "/posts", "GET"), ("POST", "/feed", "GET")])
def test_a_wrong_method_is_a_405_with_allow(ada: Person, method: str, path: str, allowed: str) -> None:
    response = ada.send(method, path)
    assert (response.status_code, json.loads(response.data)["code"]) == (405, "method_not_allowed")
    assert allowed in response.headers["Allow"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1.5",
        "limit=" + "9" * 5000,
        "limit=",
        "page=2",
        "cursor=x",
        "tag=%00",
        "tag=",
    ],
)
def test_a_wrong_query_is_a_400(ada: Person, query: str) -> None:
    response = ada.client.get(f"{BASE}/posts?{query}")
    assert (response.status_code, response.content_type) == (400, "application/problem+json")


def test_a_tampered_cursor_is_a_400_whatever_character_changed(ada: Person) -> None:
    for _ in range(2):
        ada.publish()
    cursor = ada.get("/feed", limit=1)["next"]
    assert len(ada.get("/feed", cursor=cursor)["items"]) == 1
    for at in range(len(cursor)):
        changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        assert ada.get("/feed", 400, cursor=changed)["code"] == "bad_cursor"


def test_a_cursor_of_another_list_or_reader_is_a_400(system: System, ada: Person) -> None:
    for _ in range(2):
        ada.publish()
    cursor = ada.get("/feed", limit=1)["next"]
    for person, path in ((ada, "/posts"), (ada, "/accounts/ada/posts"), (system.person(), "/feed")):
        assert person.get(path, 400, cursor=cursor)["code"] == "bad_cursor"


@pytest.mark.parametrize("login", [{"$gt": ""}, ["ada"], 5, True, None])
def test_a_login_is_a_string(system: System, login: object) -> None:
    system.anybody().post("/sessions", {"login": login, "password": "irrelevant"}, 422)


@pytest.mark.parametrize("login", ["a\x00b", "' OR 1=1 --", "%", "nobody@", "𝄞"])
def test_strange_logins_are_unknown_or_refused(system: System, login: str) -> None:
    response = system.anybody().send("POST", "/sessions", json={"login": login, "password": "irrelevant"})
    assert response.status_code in {401, 422}


def test_an_internal_error_reveals_nothing(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(system.container.pages.cards), "posts", broken)
    problem = system.anybody().get("/posts", 500)
    assert problem["code"] == "internal_error"
    assert "secret" not in json.dumps(problem)


def test_a_valid_request_id_is_used_and_an_invalid_one_replaced(ada: Person) -> None:
    assert ada.send("GET", "/posts", headers={"X-Request-Id": "client-id-1"}).headers["X-Request-Id"] == "client-id-1"
    assert ada.send("GET", "/posts", headers={"X-Request-Id": "bad id"}).headers["X-Request-Id"] != "bad id"


def test_no_route_ignores_a_query(system: System) -> None:
    ada = system.person()
    post = ada.publish()
    paths = "/accounts/me", "/wallet", "/posts", f"/accounts/{ada.handle}", f"/posts/{post}", f"/posts/{post}/views"
    for path in paths:
        for who in (ada, system.anybody()):
            if who is ada or path not in {"/accounts/me", "/wallet"}:
                assert who.get(path, 400, unheard_of="1")["code"] == "bad_query"
    assert ada.send("PUT", f"/posts/{post}/like?a=b").status_code == 400
    assert ada.send("DELETE", f"/posts/{post}?a", headers={"If-Match": "*"}).status_code == 400
    assert ada.get(f"/posts/{post}")["stats"] == {"likes": 0, "comments": 0}


BLANKS = [
    *(" ", "\t", "\u00a0", "\u200b", "\u200b\u2060", "\u3164", "\u2800 ", "\u202e", "\ufeff", "\u00ad"),
    "\U000e0041 \U000e0100",
]


@pytest.mark.parametrize("blank", BLANKS)
def test_invisible_names_titles_and_tags_are_refused(ada: Person, blank: str) -> None:
    lamp = {"title": "Lamp", "category": "home", "price": {"amount": 1, "currency": "EUR"}}
    assert ada.patch("/accounts/me", {"display_name": blank}, 422, etag="*")["errors"][0]["pointer"] == "/display_name"
    assert ada.post("/posts", {"title": blank, "body": "b"}, 422)["errors"][0]["pointer"] == "/title"
    assert ada.post("/posts", {"title": "t", "body": "b", "tags": [blank]}, 422)["errors"][0]["pointer"] == "/tags/0"
    for member in ("title", "category"):
        assert ada.post("/products", {**lamp, member: blank}, 422)["errors"][0]["pointer"] == f"/{member}"


@pytest.mark.parametrize("blank", [*BLANKS, "\n\u200d\r\n"])
def test_invisible_texts_are_refused(ada: Person, blank: str) -> None:
    post, some = ada.publish(), {"amount": 1, "currency": "EUR"}
    texts: dict[str, dict[str, Any]] = {
        "/posts": {"title": "t", "body": blank},
        f"/posts/{post}/comments": {"body": blank},
        "/products": {"title": "t", "category": "c", "price": some, "description": blank},
    }
    for path, body in texts.items():
        pointer = ada.post(path, body, 422)["errors"][0]["pointer"]
        assert body[pointer[1:]] == blank
    lamp = {"title": "t", "category": "c", "price": some, "attributes": {"colour": blank}}
    assert ada.post("/products", lamp, 422)["errors"][0]["pointer"].startswith("/attributes")
    assert ada.patch("/accounts/me", {"bio": blank}, 422, etag="*")["errors"][0]["pointer"] == "/bio"
    assert ada.patch(f"/posts/{post}", {"body": blank}, 422, etag="*")["errors"][0]["pointer"] == "/body"
    key = {"Idempotency-Key": "k"}
    for name in ("memo", "reference"):
        sent = ada.send("POST", "/wallet/transfers", json={"to": "bob", "amount": some, name: blank}, headers=key)
        assert [error["pointer"] for error in sent.get_json()["errors"]] == [f"/{name}"]


def test_an_optional_text_may_be_empty(ada: Person) -> None:
    assert ada.patch("/accounts/me", {"bio": "An invisible one\u200b is fine."}, etag="*")["account"]["bio"]
    assert ada.patch("/accounts/me", {"bio": ""}, etag="*")["account"]["bio"] == ""


def test_tags_that_look_alike_are_one(system: System, ada: Person) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    posts = [ada.publish(tags=[tag]) for tag in (composed, decomposed)]
    for tag in (composed, decomposed):
        assert [item["post"]["id"] for item in ada.get("/posts", tag=tag)["items"]] == posts[::-1]
    assert [item for item in ada.get("/tags")["items"] if item["tag"].startswith("caf")] == [
        {"tag": composed, "posts": 2}
    ]
    both = {"title": "t", "body": "b", "tags": [composed, decomposed]}
    assert ada.post("/posts", both, 422)["errors"][0]["pointer"] == "/tags"


@pytest.mark.parametrize("method", ["post", "Post", "delete", "get"])
def test_methods_are_case_sensitive(system: System, method: str) -> None:
    """RFC 9110, 9.1. A method like `post`, which a proxy's rule for POST does not match, must not post."""
    ada = system.person()
    path = "/sessions" if method in {"get", "delete"} else "/posts"
    body = {"title": "a", "body": "b"}
    refused = ada.send(method.upper(), path, json=body, environ_overrides={"REQUEST_METHOD": method})
    assert (refused.status_code, refused.get_json(force=True)["code"]) == (405, "method_not_allowed")
    assert refused.headers["Allow"]
    assert ada.get("/accounts/" + ada.handle + "/posts")["items"] == []
