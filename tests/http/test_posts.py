"""Posts, likes, comments and tags over HTTP."""

from uuid import uuid4

import pytest

from tests.apps import PASSWORD, System


def test_publishing_answers_with_the_card(system: System) -> None:
    ada = system.person("ada")
    draft = {"title": "Notes", "body": "On engines.", "tags": ["maths", "Engine"]}
    response = ada.send("POST", "/posts", json=draft)
    card = response.get_json()
    post = card["post"]
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/posts/{post['id']}"
    assert {k: post[k] for k in draft} == draft
    assert (post["version"], post["product_ids"], post["author_id"]) == (1, [], ada.account["id"])
    assert card["stats"] == {"likes": 0, "comments": 0}
    assert card["viewer"] == {"liked": False, "following_author": False}
    assert "email" not in card["author"]
    read = system.anybody().send("GET", f"/posts/{post['id']}")
    assert "viewer" not in read.get_json()
    assert read.get_json()["post"] == post


def test_a_reader_with_the_same_bytes_gets_a_304(system: System) -> None:
    ada = system.person("ada")
    post = ada.publish()
    first = system.anybody().send("GET", f"/posts/{post}")
    tag = first.headers["ETag"]
    for sent in (tag, f'"x", W/{tag}', "*"):
        again = system.anybody().send("GET", f"/posts/{post}", headers={"If-None-Match": sent})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    ada.put(f"/posts/{post}/like")
    assert system.anybody().send("GET", f"/posts/{post}", headers={"If-None-Match": tag}).status_code == 200


def test_a_like_between_read_and_edit_is_no_conflict(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    post = ada.publish()
    tag = ada.etag(f"/posts/{post}")
    bob.put(f"/posts/{post}/like")
    card = ada.patch(f"/posts/{post}", {"title": "Edited"}, etag=tag)
    assert (card["post"]["title"], card["post"]["version"], card["stats"]["likes"]) == ("Edited", 2, 1)
    assert card["post"]["updated_at"] > card["post"]["created_at"]
    ada.patch(f"/posts/{post}", {"title": "Lost"}, 412, etag=tag)
    assert ada.patch(f"/posts/{post}", {}, etag="*")["post"]["version"] == 2
    assert bob.get(f"/posts/{post}")["post"]["title"] == "Edited"


def test_only_the_author_changes_a_post(system: System) -> None:
    ada, eve = system.person("ada"), system.person("eve")
    post = ada.publish()
    assert eve.patch(f"/posts/{post}", {"title": "x"}, 403, etag="*")["code"] == "forbidden"
    eve.delete(f"/posts/{post}", 403, etag="*")
    system.anybody().delete(f"/posts/{post}", 401, etag="*")
    ada.delete(f"/posts/{post}", 428)
    ada.delete(f"/posts/{post}", etag=ada.etag(f"/posts/{post}"))
    for person in (ada, eve):
        person.get(f"/posts/{post}", 404)
        person.put(f"/posts/{post}/like", status=404)
        person.post(f"/posts/{post}/comments", {"body": "late"}, 404)
    ada.delete(f"/posts/{post}", 404, etag="*")
    assert ada.get("/accounts/me")["stats"]["posts"] == 0


def test_likes_are_counted_once_and_shown_to_the_viewer(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    post = ada.publish()
    bob.put("/accounts/ada/follow")
    for _ in range(2):
        bob.put(f"/posts/{post}/like")
    card = bob.get(f"/posts/{post}")
    assert (card["stats"]["likes"], card["viewer"]) == (1, {"liked": True, "following_author": True})
    for _ in range(2):
        bob.delete(f"/posts/{post}/like")
    assert bob.get(f"/posts/{post}")["stats"]["likes"] == 0


def test_comments_are_numbered_and_a_number_never_returns(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    post = ada.publish()
    numbers = [bob.post(f"/posts/{post}/comments", {"body": f"no. {n}"})["comment"]["number"] for n in range(1, 4)]
    assert numbers == [1, 2, 3]
    ada.delete(f"/posts/{post}/comments/3", 403)
    bob.delete(f"/posts/{post}/comments/3")
    bob.delete(f"/posts/{post}/comments/3", 404)
    assert bob.post(f"/posts/{post}/comments", {"body": "next"})["comment"]["number"] == 4
    first = ada.get(f"/posts/{post}/comments", limit=2)
    second = ada.get(f"/posts/{post}/comments", limit=2, cursor=first["next"])
    assert [i["comment"]["number"] for i in first["items"] + second["items"]] == [1, 2, 4]
    assert second["next"] is None
    assert ada.get(f"/posts/{post}")["stats"]["comments"] == 3


def test_a_comment_is_read_by_its_number(system: System) -> None:
    ada, bob, anybody = system.person("ada"), system.person("bob"), system.anybody()
    post, other = ada.publish(), ada.publish()
    bob.post(f"/posts/{post}/comments", {"body": "Well said."})
    path = f"/posts/{post}/comments/1"
    (listed,) = ada.get(f"/posts/{post}/comments")["items"]
    assert anybody.get(path) == ada.get(path) == listed
    assert anybody.send("GET", path, headers={"If-None-Match": anybody.etag(path)}).status_code == 304
    missing = anybody.send("GET", f"/posts/{post}/comments/2")
    assert (missing.status_code, missing.headers["Cache-Control"]) == (404, "private, no-store"), "it may yet come"
    for there in (f"/posts/{other}/comments/1", f"/posts/{uuid4()}/comments/1"):
        anybody.get(there, 404)
    bob.send("DELETE", "/accounts/me", json={"password": PASSWORD})
    assert ada.get(path, 404)["code"] == "not_found"
    ada.post(f"/posts/{post}/comments", {"body": "Where are you?"})
    ada.delete(f"/posts/{post}", etag="*")
    ada.get(f"/posts/{post}/comments/2", 404)


def test_posts_are_listed_by_author_and_tag(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    first = ada.publish(tags=["x", "y"])
    second = bob.publish(tags=["x"])
    third = ada.publish(tags=["X"])
    anybody = system.anybody()
    assert list(anybody.walk("/posts", limit=1)) == [third, second, first]
    assert list(anybody.walk("/posts", tag="x")) == [second, first]
    assert list(anybody.walk("/posts", author="ADA")) == [third, first]
    assert list(anybody.walk("/posts", author="ada", tag="x", limit=1)) == [first]
    assert list(anybody.walk("/accounts/ada/posts", limit=1)) == [third, first]
    anybody.get("/posts", 404, author="nobody")
    assert anybody.get("/tags")["items"] == [
        {"tag": "X", "posts": 1},
        {"tag": "x", "posts": 2},
        {"tag": "y", "posts": 1},
    ]


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("title", "", "/title"),
        ("title", "x" * 201, "/title"),
        ("body", "x" * 20_001, "/body"),
        ("body", ["x"], "/body"),
        ("tags", ["x"] * 2, "/tags"),
        ("tags", [str(n) for n in range(11)], "/tags"),
        ("tags", ["x" * 41], "/tags/0"),
        ("tags", "x", "/tags"),
        ("tags", None, "/tags"),
        ("product_ids", ["nope"], "/product_ids/0"),
        ("product_ids", [str(uuid4())], "/product_ids/0"),
        ("author_id", "0197f0a0-0000-7000-8000-00000000000a", "/author_id"),
    ],
)
def test_a_wrong_field_of_a_post_is_named(system: System, field: str, value: object, pointer: str) -> None:
    draft = {"title": "t", "body": "b", field: value}
    problem = system.person().post("/posts", draft, 422)
    assert [e["pointer"] for e in problem["errors"]] == [pointer]


def test_bounds_themselves_are_allowed(system: System) -> None:
    ada = system.person()
    tags = [f"{n:040}" for n in range(10)]
    card = ada.post("/posts", {"title": "é" * 200, "body": "𝄞" * 20_000, "tags": tags})
    assert len(card["post"]["body"]) == 20_000
