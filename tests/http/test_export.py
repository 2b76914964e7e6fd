"""The export of the own data as a stream of JSON lines."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from werkzeug.test import TestResponse

from app.errors import Missing
from app.http.resources import export
from config import Settings
from repositories.errors import Unavailable
from tests.apps import PASSWORD, RELATIONAL, Person, System, running
from tests.http.world import ShiftedClock, World

PATH = "/accounts/me/export"


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    clock = ShiftedClock()
    with running(settings, clock) as system:
        yield World(system, clock, real=False)


def lines(answer: TestResponse) -> list[Any]:
    found = [json.loads(line) for line in answer.text.splitlines()]
    answer.close()
    return found


def kinds(answer: TestResponse) -> Iterator[str]:
    sent: Any = answer.response
    return (json.loads(line)["kind"] for line in sent)


def exported(who: Person) -> dict[str, list[Any]]:
    *values, end = lines(who.send("GET", PATH))
    assert end == {"kind": "end", "value": {"lines": len(values)}}
    found: dict[str, list[Any]] = {}
    for line in values:
        found.setdefault(line["kind"], []).append(line["value"])
    return found


def person_with_everything(world: World) -> Person:
    ada, bob = world.system.person("ada").rich(5000), world.system.person("bob")
    posts = [ada.publish(f"Post {n}", tags=["t"]) for n in range(5)]
    for post in [*posts, bob.publish("Of Bob")]:
        ada.put(f"/posts/{post}/like")
        ada.post(f"/posts/{post}/comments", {"body": f"On {post}"})
        bob.post(f"/posts/{post}/comments", {"body": "Of Bob"})
    for other in [bob, *world.people(3)]:
        ada.put(f"/accounts/{other.handle}/follow")
        other.put("/accounts/ada/follow")
    ada.put(f"/accounts/{world.person().handle}/block")
    for _ in range(3):
        lamp = world.lamp(ada)
    bob.rich().pay("/orders", {"lines": [{"product_id": lamp, "quantity": 1}]})
    ada.pay("/orders", {"lines": [{"product_id": world.lamp(bob), "quantity": 2}]})
    ada.pay("/wallet/deposits", {"amount": {"amount": 7, "currency": "USD"}})
    world.drained()
    return ada


@pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
@pytest.mark.parametrize("page", [1, 2, 100])
def test_it_has_everything_once_whatever_the_page_size(world: World, page: int) -> None:
    ada = person_with_everything(world)
    with patch.object(export, "PAGE", page):
        found = exported(ada)
    assert {kind: len(values) for kind, values in found.items()} == {
        "account": 1,
        "session": 1,
        "post": 5,
        "comment": 6,
        "like": 6,
        "following": 4,
        "follower": 4,
        "block": 1,
        "product": 3,
        "order": 2,
        "balance": 2,
        "entry": 2,
        "notification": len(ada.get("/notifications")["items"]),
    }
    assert found["notification"]
    for kind, values in found.items():
        assert max(Counter(json.dumps(value, sort_keys=True) for value in values).values()) == 1, kind
    assert found["account"][0]["account"]["email"] == "ada@example.com"
    assert sorted(found["post"], key=str) == sorted(
        (i["post"] for i in ada.get("/accounts/ada/posts")["items"]), key=str
    )
    assert {value["handle"] for value in found["following"]} == {"bob", *(p.handle for p in world.people(3))}
    assert all(value["comment"]["body"] == f"On {value['post_id']}" for value in found["comment"])
    assert sorted(o["id"] for o in found["order"]) == sorted(
        o["id"] for role in ("buyer", "seller") for o in ada.get("/orders", role=role)["items"]
    )


def test_a_new_account_has_only_account_and_session(world: World) -> None:
    assert set(exported(world.person())) == {"account", "session"}


def test_pages_are_read_while_it_is_sent(world: World) -> None:
    """No more than one page of posts is read before the first post is sent."""
    ada = world.system.person("ada")
    for n in range(6):
        ada.publish(f"Post {n}")
    posts = world.system.container.stores.documents.posts
    with patch.object(export, "PAGE", 2), patch.object(posts, "page", wraps=posts.page) as page:
        answer = ada.send("GET", PATH, buffered=False)
        taken = list(itertools.islice(kinds(answer), 3))
        assert (taken[-1], page.call_count) == ("post", 1)
        answer.close()
        assert page.call_count == 1


def test_a_broken_stream_has_no_end_line(world: World) -> None:
    ada = person_with_everything(world)
    likes = world.system.container.stores.relational.likes
    with patch.object(likes, "of_account", side_effect=Unavailable("relational")):
        answer = ada.send("GET", PATH, buffered=False)
        taken: list[str] = []
        with pytest.raises(Unavailable):
            taken.extend(kinds(answer))
        answer.close()
    assert exported(ada), "its place is free again"


@pytest.mark.parametrize("act", ["signs out", "changes the password", "leaves"])
def test_it_stops_when_the_session_ends(world: World, act: str) -> None:
    """For instance a thief with a stolen session, who reads slowly."""
    ada = world.system.person("ada")
    for n in range(6):
        ada.publish(f"Post {n}")
    with patch.object(export, "PAGE", 2):
        answer = ada.send("GET", PATH, buffered=False)
        sent = kinds(answer)
        taken = [*itertools.islice(sent, 2)]
        if act == "signs out":
            ada.delete("/sessions/current")
        elif act == "leaves":
            ada.send("DELETE", "/accounts/me", json={"password": PASSWORD})
        else:
            at_home = ada.post("/sessions", {"login": "ada", "password": PASSWORD}, 201)["token"]
            new = {"current_password": PASSWORD, "new_password": "seven grey pigeons"}
            Person(ada.client, at_home, ada.account).put("/accounts/me/password", new)
        with pytest.raises(Missing):
            taken.extend(sent)
        answer.close()
    assert taken == ["account", "session"]


def test_exports_at_once_are_limited_and_slots_are_always_freed(world: World) -> None:
    ada = world.person()
    held = [ada.send("GET", PATH, buffered=False) for _ in range(export.MOST)]
    refused = ada.send("GET", PATH)
    assert (refused.status_code, refused.get_json(force=True)["code"]) == (503, "overloaded")
    statement = ada.send("GET", "/wallet/statement.csv?currency=EUR")
    assert (statement.status_code, "Retry-After" in statement.headers) == (503, True)
    assert "exports and statements" in statement.get_json(force=True)["detail"]
    next(iter(held[0].response))
    for answer in held:
        answer.close()
    for _ in range(export.MOST + 1):
        assert exported(ada)
    for _ in range(export.MOST + 1):
        ada.send("HEAD", PATH).close()
    assert exported(ada)


def test_it_needs_a_session_and_may_not_be_stored(system: System) -> None:
    assert system.anybody().get(PATH, 401)["code"] == "unauthenticated"
    answer = system.person().send("GET", PATH)
    assert answer.content_type == "text/jsonl; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    answer.close()
