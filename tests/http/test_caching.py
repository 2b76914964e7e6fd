"""The caching headers of answers, with and without the fast path."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from app.http.edge import caching
from config import Settings
from tests.apps import BASE, Person, System, embedded, running

PUBLIC = "public, max-age=0, s-maxage=5, stale-while-revalidate=5"
PRIVATE = "private, no-store"
# The fields of the 200 that a 304 repeats (RFC 9110, section 15.4.5); none that describes the missing body.
REPEATED = ("Cache-Control", "ETag", "Vary")
# Public, but not for shared caches: few callers search for the same words.
UNSHARED = {"/search"}
STATUS = re.compile(r"quartet; (hit; ttl=\d+|fwd=miss(; stored)?|fwd=bypass)")


@pytest.fixture(params=[True, False], ids=["fast", "flask"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path), fast_path=request.param)) as found:
        yield found


@pytest.fixture
def ada(system: System) -> Person:
    return system.person()


@pytest.fixture
def pages(system: System, ada: Person) -> list[str]:
    """The paths of all public reads, relative to the base."""
    post = ada.publish(tags=["lamps"])
    lamp = {"title": "Lamp", "category": "lamps", "price": {"amount": 1, "currency": "EUR"}}
    product = ada.post("/products", lamp)["product"]["id"]
    ada.post(f"/posts/{post}/comments", {"body": "Well said."})
    values = {"post_id": post, "product_id": product, "handle": ada.handle, "number": "1"}
    system.relay.drain()
    return [
        re.sub(r"<(?:\w+:)?(\w+)>", lambda m: values[m[1]], rule) for rule in sorted(rules(system, "public") - UNSHARED)
    ]


def rules(system: System, access: str) -> set[str]:
    views = system.app.view_functions
    return {
        rule.rule.removeprefix(BASE)
        for rule in system.app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and getattr(views[rule.endpoint], "access", None) == access
    }


def ask(system: System, path: str, method: str = "GET", **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return system.app.test_client().open(BASE + path, method=method, headers=sent)


def test_every_public_read_declares_its_shared_caching(system: System) -> None:
    views = [(rule.rule, system.app.view_functions[rule.endpoint]) for rule in system.app.url_map.iter_rules()]
    shared = {rule.removeprefix(BASE) for rule, view in views if caching.of_view(view)}
    assert rules(system, "public") - UNSHARED == shared, "put @shared(...) on these views, and on no others"
    assert not shared & rules(system, "private")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anonymous_reads_are_for_shared_caches(system: System, pages: list[str], method: str) -> None:
    for path in pages:
        for _ in range(3):
            answer = ask(system, path, method)
            assert answer.status_code == 200, path
            assert answer.headers["Cache-Control"] == PUBLIC
            assert answer.headers.getlist("Vary") == ["Authorization, Accept-Encoding"]
            assert "Set-Cookie" not in answer.headers
            assert STATUS.fullmatch(answer.headers["Cache-Status"]), answer.headers["Cache-Status"]


def test_answers_for_one_account_may_not_be_stored(system: System, ada: Person, pages: list[str]) -> None:
    for path in [*pages, *("/accounts/me", "/feed", "/sessions", "/notifications", "/wallet", "/orders")]:
        answer = ada.send("GET", path)
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == PRIVATE
        assert answer.headers.getlist("Vary") == ["Authorization, Accept-Encoding"]
        assert "Age" not in answer.headers
    for path in pages:
        assert STATUS.fullmatch(ada.send("GET", path).headers["Cache-Status"])


def test_errors_and_writes_may_not_be_stored(system: System, ada: Person, pages: list[str]) -> None:
    answers = [ask(system, path + "?surprise=1") for path in pages if path in {"/posts", "/products", "/tags"}]
    answers += [ask(system, "/accounts/nobody_here")]
    answers += [ask(system, "/feed"), ask(system, "/nowhere"), ask(system, "/tags", "DELETE")]
    answers += [ask(system, "/tags", Authorization="Bearer nonsense")]
    assert {a.status_code for a in answers} == {400, 401, 404, 405}
    answers += [ada.send("POST", "/posts", json={"title": "t", "body": "b"})]
    assert {a.headers["Cache-Control"] for a in answers} == {PRIVATE}
    assert not any("Age" in a.headers for a in answers)


def test_a_page_is_a_miss_and_then_a_hit_with_an_age(system: System, pages: list[str]) -> None:
    system.container.stores.cache.void()
    first, second = (ask(system, "/tags") for _ in range(2))
    assert first.headers["Cache-Status"] == "quartet; fwd=miss; stored"
    assert "Age" not in first.headers
    assert re.fullmatch(r"quartet; hit; ttl=[0-5]", second.headers["Cache-Status"])
    assert 0 <= int(second.headers["Age"]) <= 5
    assert first.data == second.data
    assert first.headers["ETag"] == second.headers["ETag"]


def test_pages_that_are_not_kept_whole_report_a_bypass(system: System, pages: list[str]) -> None:
    for query in ("?tag=lamps", "?author=nobody", "?limit=3&tag=lamps"):
        assert ask(system, "/posts" + query).headers["Cache-Status"] == "quartet; fwd=bypass"


def test_a_stored_page_never_arrives_stale(tmp_path: Path) -> None:
    """The age of a kept page counts towards the seconds that shared caches may keep it."""
    with running(Settings(**embedded(tmp_path), shared_seconds=7)) as system:
        assert system.container.pages.whole._fresh <= 7


def matches(etag: str) -> list[tuple[str, bool]]:
    opaque = etag.strip('"')
    return [
        (etag, True),
        (f"W/{etag}", True),
        ("*", True),
        (f'"a", {etag}', True),
        (f'"a",W/"b" , W/{etag}', True),
        ('"a"', False),
        (opaque, False),
        (f'"{opaque}x"', False),
        (f'"{opaque.split("-")[-1]}"' if "-" in opaque else '"x"', False),
        ("", False),
        (",", False),
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_the_page_gets_a_304(system: System, pages: list[str], method: str) -> None:
    for path in pages:
        whole = ask(system, path)
        if "ETag" not in whole.headers:
            continue
        for sent, known in matches(whole.headers["ETag"]):
            answer = ask(system, path, method, If_None_Match=sent)
            assert answer.status_code == (304 if known else 200), (path, sent)
            assert answer.headers["ETag"] == whole.headers["ETag"]
            assert [answer.headers[n] for n in REPEATED] == [whole.headers[n] for n in REPEATED]
            if known:
                assert answer.data == b""
                assert not {"Content-Type", "Content-Length"} & set(answer.headers.keys())
    assert ask(system, pages[0]).headers.get("ETag")


def test_entity_tags_are_strong_and_change_with_every_part(system: System, ada: Person) -> None:
    post = ada.publish()
    path = f"/posts/{post}"
    tags: list[str] = []
    changes: list[Any] = [
        lambda: None,
        lambda: system.person().put(f"{path}/like"),
        lambda: ada.patch("/accounts/me", {"display_name": "Ada the Second"}, etag="*"),
        lambda: ada.patch(path, {"title": "Another"}, etag="*"),
    ]
    for change in changes:
        change()
        system.relay.drain()
        tags += {ask(system, path).headers["ETag"] for _ in range(3)}
    assert len(tags) == len(set(tags)) == len(changes)
    assert all(re.fullmatch(r'"\d+-[0-9a-f]{16}"', tag) for tag in tags)


@pytest.mark.parametrize(
    ("most", "control"),
    [
        (0, "no-cache"),
        (1, "public, max-age=0, s-maxage=1, stale-while-revalidate=1"),
        (3600, "public, max-age=0, s-maxage=10, stale-while-revalidate=10"),
    ],
)
def test_the_setting_limits_the_times_of_routes(tmp_path: Path, most: int, control: str) -> None:
    with running(Settings(**embedded(tmp_path), shared_seconds=most)) as system:
        for _ in range(3):
            assert ask(system, "/posts").headers["Cache-Control"] == control


def test_other_answers_are_no_cache(system: System) -> None:
    client = system.app.test_client()
    for path in ("/health/live", "/docs", "/openapi.json", "/metrics"):
        answer = client.get(path)
        assert answer.headers["Cache-Control"] == "no-cache", path
        assert not {"Age", "Cache-Status"} & set(answer.headers.keys())


def test_a_page_kept_under_another_secret_is_not_served(tmp_path: Path) -> None:
    """Its cursor, signed with the other secret, would be refused."""
    for secret in ("first" * 8, "second" * 8):
        with running(Settings(**embedded(tmp_path), secret_key=secret)) as system:
            if secret.startswith("first"):
                ada = system.person()
                for _ in range(2):
                    ada.publish()
            anybody = system.anybody()
            for path in ("/posts", "/products"):
                for _ in range(2):
                    cursor = anybody.get(path, limit=1)["next"]
                assert cursor is None or len(anybody.get(path, limit=1, cursor=cursor)["items"]) == 1
            assert anybody.get("/posts", limit=1)["next"]


def test_shared_caches_may_keep_the_404_of_a_deleted_post(system: System) -> None:
    """Shared caches may keep the 404 of an id, which never exists again, but not that of a handle, which may."""
    ada, anybody = system.person(), system.anybody()
    post = ada.publish()
    ada.delete(f"/posts/{post}", etag=ada.etag(f"/posts/{post}"))
    for path in (f"/posts/{post}", f"/posts/{post}/comments", f"/posts/{post}/views", f"/products/{uuid4()}"):
        gone = anybody.send("GET", path)
        assert gone.status_code == 404
        assert re.fullmatch(r"public, max-age=0, s-maxage=[1-5], .*", gone.headers["Cache-Control"])
        assert "Authorization" in gone.headers["Vary"]
        assert ada.send("GET", path).headers["Cache-Control"] == "private, no-store"
    assert anybody.send("GET", "/accounts/nobody_yet").headers["Cache-Control"] == "private, no-store"
