"""The home feed over HTTP: it has a post as soon as the author gets the 201, whatever the relay does."""

from pathlib import Path

import pytest

from config import Settings
from tests.apps import System, embedded, running

RELAY = pytest.mark.parametrize("relayed", [False, True], ids=["relay stopped", "relay caught up"])


def settle(system: System, *, relayed: bool) -> None:
    if relayed:
        system.relay.drain()


@RELAY
def test_a_post_is_in_every_followers_feed_at_once(system: System, *, relayed: bool) -> None:
    ada, bob, cyd, eve = (system.person(name) for name in ("ada", "bob", "cyd", "eve"))
    for fan in (bob, cyd):
        fan.put("/accounts/ada/follow")
    settle(system, relayed=relayed)
    posts = [ada.publish(f"no. {n}") for n in range(3)][::-1]
    settle(system, relayed=relayed)
    for person in (ada, bob, cyd):
        assert person.feed(limit=2) == posts
    assert eve.feed() == []


@RELAY
def test_a_follow_brings_earlier_posts(system: System, *, relayed: bool) -> None:
    ada, bob, cyd = (system.person(name) for name in ("ada", "bob", "cyd"))
    old = [ada.publish(), cyd.publish(), ada.publish()]
    settle(system, relayed=relayed)
    bob.put("/accounts/ada/follow")
    settle(system, relayed=relayed)
    own = bob.publish()
    bob.put("/accounts/cyd/follow")
    assert bob.feed(limit=1) == [own, old[2], old[1], old[0]]


@RELAY
def test_unfollowing_and_blocking_count_from_the_next_request(system: System, *, relayed: bool) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    bob.put("/accounts/ada/follow")
    post = ada.publish()
    settle(system, relayed=relayed)
    bob.delete("/accounts/ada/follow")
    assert bob.feed() == []
    settle(system, relayed=relayed)
    bob.put("/accounts/ada/follow")
    assert bob.feed() == [post]
    settle(system, relayed=relayed)
    assert bob.feed() == [post]
    ada.put("/accounts/bob/block")
    assert bob.feed() == []


@RELAY
def test_deletions_and_edits_are_seen_at_once(system: System, *, relayed: bool) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    bob.put("/accounts/ada/follow")
    kept, gone = ada.publish("kept"), ada.publish("gone")
    settle(system, relayed=relayed)
    assert bob.feed() == [gone, kept]
    ada.delete(f"/posts/{gone}", etag="*")
    ada.patch(f"/posts/{kept}", {"title": "changed"}, etag="*")
    page = bob.get("/feed")
    assert [(i["post"]["id"], i["post"]["title"]) for i in page["items"]] == [(kept, "changed")]
    settle(system, relayed=relayed)
    assert bob.feed() == [kept]


@RELAY
def test_paging_upward_continues_from_the_last_position(system: System, *, relayed: bool) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    bob.put("/accounts/ada/follow")
    old = [ada.publish() for _ in range(3)]
    settle(system, relayed=relayed)
    seen = bob.get("/feed", limit=2)
    assert [i["post"]["id"] for i in seen["items"]] == [old[2], old[1]]
    new = [ada.publish() for _ in range(5)]
    first = bob.get("/feed", limit=3, after=seen["prev"])
    assert [i["post"]["id"] for i in first["items"]] == [new[2], new[1], new[0]]
    second = bob.get("/feed", limit=3, after=first["next"])
    assert [i["post"]["id"] for i in second["items"]] == [new[4], new[3]]
    assert second["next"] is None
    empty = bob.get("/feed", after=second["prev"])
    assert (empty["items"], empty["next"]) == ([], None)
    latest = ada.publish()
    assert [i["post"]["id"] for i in bob.get("/feed", after=empty["prev"])["items"]] == [latest]
    bob.get("/feed", 400, cursor=seen["next"], after=seen["prev"])


def test_a_page_survives_many_deletions(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    bob.put("/accounts/ada/follow")
    first = ada.publish()
    many = [ada.publish() for _ in range(40)]
    last = ada.publish()
    system.relay.drain()
    for post in many:
        ada.delete(f"/posts/{post}", etag="*")
    assert bob.feed(limit=2) == [last, first]


def test_the_feed_needs_a_session(system: System) -> None:
    assert system.anybody().get("/feed", 401)["code"] == "unauthenticated"


def test_a_long_history_continues_below_the_copied_posts(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path), backfill_posts=2)) as system:
        ada, bob, cyd = (system.person(name) for name in ("ada", "bob", "cyd"))
        posts = [person.publish() for person in (ada, cyd, ada, ada, cyd, ada)][::-1]
        system.relay.drain()
        for followee in (ada, cyd):
            bob.put(f"/accounts/{followee.handle}/follow")
        system.relay.drain()
        for size in range(1, 8):
            assert bob.feed(limit=size) == posts
