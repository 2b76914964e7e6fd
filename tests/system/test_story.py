"""One story, run on the embedded default, on the four real engines, on mixes of both, and on PostgreSQL alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config import Settings
from tests.apps import PASSWORD, ROLES, System, embedded, running
from tests.system.real import KEYSPACE, on_postgres, real_urls

ONE_REAL = [frozenset({role}) for role in ROLES]
ONE_EMBEDDED = [frozenset(ROLES) - {role} for role in ROLES]
POSTGRES = frozenset({"postgres alone"})
MIXES = [frozenset[str](), *ONE_REAL, frozenset({"relational", "feeds"}), POSTGRES, frozenset(ROLES)]


def named(mix: frozenset[str]) -> str:
    return "+".join(sorted(mix)) or "embedded"


@pytest.fixture(
    params=[
        *(pytest.param(m, id=named(m), marks=[pytest.mark.engines] if m else []) for m in MIXES),
        *(pytest.param(m, id=named(m), marks=[pytest.mark.engines, pytest.mark.proof]) for m in ONE_EMBEDDED),
    ],
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    mix: frozenset[str] = request.param
    urls = embedded(tmp_path)
    if mix == POSTGRES:
        urls |= on_postgres(request.getfixturevalue("engines"), ROLES)
    elif mix:
        urls |= real_urls(request.getfixturevalue("engines"), "story", mix, keyspace=KEYSPACE)
    with running(Settings(**urls)) as found:
        yield found


ML: dict[str, Any] = {"attr.ml": "300"}


def test_people_write_follow_and_read(system: System) -> None:
    tag = uuid4().hex[:12]
    ada, bob, cyd = (system.person(f"{name}_{tag}") for name in ("ada", "bob", "cyd"))
    bob.put(f"/accounts/{ada.handle}/follow")
    cyd.put(f"/accounts/{ada.handle}/follow")
    product = ada.post(
        "/products",
        {"title": "Mug", "category": tag, "price": {"amount": 900, "currency": "EUR"}, "attributes": {"ml": 300}},
    )["product"]["id"]
    posts = [ada.publish(f"{n}", tags=[tag], product_ids=[product]) for n in range(5)][::-1]
    assert bob.feed(limit=2) == cyd.feed() == ada.feed() == posts
    system.relay.drain()
    assert bob.feed(limit=2) == cyd.feed() == ada.feed() == posts

    bob.put(f"/posts/{posts[0]}/like")
    assert bob.post(f"/posts/{posts[0]}/comments", {"body": "First 🎉"})["comment"]["number"] == 1
    card = cyd.get(f"/posts/{posts[0]}")
    assert card["stats"] == {"likes": 1, "comments": 1}
    assert cyd.get("/products", category=tag, **ML)["items"][0]["product"]["id"] == product
    assert list(cyd.walk("/posts", tag=tag, limit=2)) == posts
    assert list(cyd.walk(f"/accounts/{ada.handle}/posts", limit=2)) == posts

    etag = ada.etag(f"/posts/{posts[1]}")
    ada.patch(f"/posts/{posts[1]}", {"title": "edited"}, etag=etag)
    ada.delete(f"/posts/{posts[2]}", etag="*")
    left = [p for p in posts if p != posts[2]]
    assert bob.feed() == left
    assert bob.get("/feed")["items"][1]["post"]["title"] == "edited"

    cyd.delete(f"/accounts/{ada.handle}/follow")
    ada.put(f"/accounts/{bob.handle}/block")
    assert bob.feed() == cyd.feed() == []
    system.relay.drain()
    ada.delete(f"/accounts/{bob.handle}/block")
    bob.put(f"/accounts/{ada.handle}/follow")
    assert bob.feed() == left
    system.relay.drain()
    assert bob.feed(limit=1) == left
    assert ada.get("/accounts/me")["stats"] == {"followers": 1, "following": 0, "posts": 4}

    other = system.anybody()
    other.token = other.post("/sessions", {"login": ada.handle, "password": PASSWORD, "device": "tablet"})["token"]
    ada.delete("/sessions")
    other.get("/accounts/me", 401)
    assert system.anybody().get("/health/ready")["status"] == "ok"
