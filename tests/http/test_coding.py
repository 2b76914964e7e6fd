"""Compressed answers: what a request asks for, and what differs from the plain answer."""

import gzip
from typing import Any
from unittest.mock import patch

import pytest
from backports import zstd
from werkzeug.test import TestResponse

from app.http.edge.content_coding import chosen
from app.services.pages import whole_pages
from app.services.pages.compression import LEAST_BYTES
from repositories.hot import Held, Value
from tests.apps import PASSWORD, Person, System
from tests.http.pages import BothPaths

UNPACK = {"gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize(
    ("sent", "coding"),
    [
        ("gzip", "gzip"), ("GZip", "gzip"), ("x-gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.9", "gzip"), ("gzip;q=0.5,zstd;q=0.5", "zstd"), ("gzip ; Q=0.001", "gzip"),
        ("gzip;q=0", ""), ("gzip;q=0.000, zstd;q=0", ""), ("identity", ""), ("identity, gzip;q=0.5", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"), ("identity;q=0", ""), ("*", "gzip"), ("*;q=0", ""),
        ("gzip;q=0, *", ""), ("zstd;q=0.1, *;q=0.2", "gzip"), ("br", ""), ("deflate, br;q=1", ""), ("", ""), (",,", ""),
        (", gzip ,", "gzip"), ("gzip;q=2", ""), ("gzip;q=", ""), ("gzip;q=0.1234", ""), ("gzip;level=9", ""),
        ("gz ip", ""), ("gzipped", ""), ("gzip;q=-1", ""), ("gzip\t;\tq=1", "gzip"), ("\x00", ""),
    ],
)  # fmt: skip
def test_weights_are_read_by_the_grammar(sent: str, coding: str) -> None:
    assert chosen(sent) == coding


def asked(who: Person, path: str, coding: str = "", method: str = "GET", **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return who.send(method, path, headers=sent | ({"Accept-Encoding": coding} if coding else {}))


@pytest.fixture
def ada(system: System) -> Person:
    ada = system.person("ada")
    for _ in range(10):
        ada.publish("Long", body="Some words. " * 200)
    system.relay.drain()
    return ada


def large(ada: Person) -> list[str]:
    post = ada.get("/posts")["items"][0]["post"]["id"]
    return ["/posts", "/feed", f"/posts/{post}", "/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_answer_is_the_same_but_for_its_coding(system: System, ada: Person, coding: str) -> None:
    for who in (ada, system.anybody()):
        for path in (path for path in large(ada) if who.token or path != "/feed"):
            for _ in range(3):  # built, kept, and then served from the cache
                plain, packed = asked(who, path), asked(who, path, coding)
                assert packed.status_code == plain.status_code == 200
                assert UNPACK[coding](packed.data) == plain.data
                assert packed.headers["Content-Encoding"] == coding
                assert "Content-Encoding" not in plain.headers
                assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
                assert packed.headers["ETag"] == f'{plain.headers["ETag"][:-1]}-{coding}"'
                for answer in (plain, packed):
                    assert answer.headers.getlist("Vary") == ["Authorization, Accept-Encoding"]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_head_has_the_fields_of_the_get(system: System, ada: Person, coding: str) -> None:
    free = {"X-Request-Id", "Server-Timing", "Age", "Cache-Status"}
    for path in large(ada):
        asked(ada, path, coding)
        get, head = (asked(ada, path, coding, method) for method in ("GET", "HEAD"))
        assert head.data == b""
        fields = [[field for field in answer.headers.to_wsgi_list() if field[0] not in free] for answer in (get, head)]
        assert fields[0] == fields[1]


def test_a_condition_is_met_by_the_tag_of_either_form(system: System, ada: Person) -> None:
    for who in (ada, system.anybody()):
        for path in (path for path in large(ada) if who.token or path != "/feed"):
            tags = {coding: asked(who, path, coding).headers["ETag"] for coding in ("", "gzip", "zstd")}
            assert len(set(tags.values())) == 3
            for coding, own in tags.items():
                for tag in tags.values():
                    answer = asked(who, path, coding, If_None_Match=tag)
                    assert (answer.status_code, answer.data) == (304, b"")
                    assert "Content-Encoding" not in answer.headers
                    assert "Accept-Encoding" in answer.headers["Vary"]
                    # A client with the plain form gets that form's tag; otherwise its copy could not be revalidated.
                    assert answer.headers["ETag"] == (tag if tag == tags[""] else own)


def test_a_change_takes_the_tag_of_a_compressed_answer(ada: Person) -> None:
    path = large(ada)[2]
    for coding in ("gzip", "zstd"):
        tag = asked(ada, path, coding).headers["ETag"]
        assert f"-{coding}" in tag
        ada.patch(path, {"title": coding}, etag=tag)
        ada.patch(path, {"title": "again"}, 412, etag=tag)
        assert asked(ada, path, coding, If_None_Match=tag).status_code == 200


def test_small_answers_are_not_compressed(system: System) -> None:
    ada = system.person("ada")
    post = f"/posts/{ada.publish()}"
    body = asked(ada, post).data
    assert len(body) < LEAST_BYTES
    for path in (post, "/accounts/me", "/wallet", "/health/ready", "/accounts/nobody_at_all"):
        assert "Content-Encoding" not in asked(ada, path, "gzip").headers


def test_answers_that_may_hold_a_secret_are_not_compressed(ada: Person) -> None:
    accepts = {"Accept-Encoding": "gzip, zstd"}
    device = {"login": ada.handle, "password": PASSWORD, "device": "x" * 200}
    draft = {"title": "t", "body": "Some words. " * 200}
    for path, body in (("/sessions", device), ("/posts", draft)):
        answer = ada.send("POST", path, json=body, headers=accepts)
        assert answer.status_code == 201
        assert "Content-Encoding" not in answer.headers
        assert answer.is_json
    edited = ada.send("PATCH", large(ada)[2], json={"title": "u"}, headers=accepts | {"If-Match": "*"})
    assert (edited.status_code, edited.is_json, "Content-Encoding" in edited.headers) == (200, True, False)


def test_events_are_not_compressed(ada: Person) -> None:
    answer = asked(ada, "/feed/stream", "gzip, zstd")
    body: Any = answer.response
    assert next(iter(body)).startswith(b": quartet")
    assert "Content-Encoding" not in answer.headers
    answer.close()


def test_a_kept_page_is_compressed_once_for_all_processes(system: System, ada: Person) -> None:
    both = BothPaths(system)
    both.warm(["posts"])
    with (
        patch.object(whole_pages, "coded", side_effect=AssertionError("compressed again")),
        patch.object(whole_pages, "all_coded", side_effect=AssertionError("compressed again")),
    ):
        for ask in (both.fast, both.slow):
            for coding in ("gzip", "zstd"):
                answer = ask("posts", Accept_Encoding=coding)
                assert "; hit" in (answer.header("Cache-Status") or "")
                assert answer.header("Content-Encoding") == coding


def test_a_page_with_an_unreadable_note_is_rebuilt() -> None:
    assert whole_pages._kept(Held(Value(b"x" * LEAST_BYTES, note=b"\xc1"), 1.0, b"")) is None
