"""Deletion of the own account: once it is answered, no read shows the account; and what stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from app.events import AccountDeleted
from app.services.content import departures
from app.services.content.posts import PostDraft
from app.worker.handlers import handle
from config import Settings
from repositories.errors import Unavailable
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.http.world import EUR, ShiftedClock, World

PATH = "/accounts/me"


def leave(who: Person, password: str = PASSWORD, status: int = 204, **more: Any) -> Any:
    answer = who.send("DELETE", PATH, json={"password": password, **more})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json(force=True) if answer.data else None


def seen(who: Person, path: str) -> str:
    answer = who.send("GET", path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


class AdaAndBob:
    """Ada, who has something of every kind, and Bob, who can see it."""

    def __init__(self, world: World) -> None:
        self.world, self.system = world, world.system
        self.ada, self.bob, self.eve = (self.system.person(name) for name in ("ada", "bob", "eve"))
        for follower, followee in ((self.ada, self.bob), (self.bob, self.ada), (self.bob, self.eve)):
            follower.put(f"/accounts/{followee.handle}/follow")
        self.ada.put("/accounts/eve/block")
        self.posts = [self.ada.publish(f"Post {n}", tags=["lamps"]) for n in range(3)]
        self.bobs = self.bob.publish("Of Bob", tags=["lamps"])
        for post in (self.bobs, self.posts[0]):
            for one in (self.ada, self.bob):
                one.put(f"/posts/{post}/like")
                one.post(f"/posts/{post}/comments", {"body": "Well said."})
        self.product = world.lamp(self.ada)
        self.order = self.bob.rich().pay("/orders", {"lines": [{"product_id": self.product, "quantity": 1}]})["id"]
        self.drained()
        self.ada.pay(f"/orders/{self.order}/fulfil", None, 200)
        self.ada.pay("/wallet/transfers", {"to": "bob", "amount": EUR})
        self.drained()

    def drained(self) -> None:
        """Let the relay dispatch everything, including events postponed because a store was away."""
        self.world.clock.ahead += timedelta(seconds=5)
        self.system.sweeper.sweep()
        self.world.drained()

    def warm(self) -> None:
        """Fill the cache with everything that shows Ada."""
        for who in (self.bob, self.system.anybody()):
            for path in (*self.public_lists, f"/posts/{self.posts[0]}", "/accounts/ada", f"/products/{self.product}"):
                assert self.ada.account["id"] in seen(who, path), "or its absence shows nothing"

    @property
    def public_lists(self) -> list[str]:
        of_bob = [f"/accounts/bob/{what}" for what in ("followers", "following")]
        return ["/posts", "/posts?tag=lamps", "/products", f"/posts/{self.bobs}/comments", *of_bob]

    def check_gone(self) -> None:
        """Check that neither Ada nor anything of hers is in any answer, and that no count includes her."""
        anybody = self.system.anybody()
        for see in (self.bob, anybody):
            for path in (
                "/accounts/ada",
                "/accounts/ada/posts",
                "/accounts/ada/followers",
                f"/posts/{self.posts[0]}",
                f"/posts/{self.posts[0]}/comments",
                f"/posts/{self.posts[0]}/views",
                f"/products/{self.product}",
            ):
                see.get(path, 404)
            for path in self.public_lists:
                assert self.ada.account["id"] not in seen(see, path), path
        for path in ("/feed", "/notifications", "/accounts/me/blocks"):
            assert self.ada.account["id"] not in seen(self.bob, path), path
            assert self.ada.account["id"] not in seen(self.eve, path), path
        assert self.bob.get("/notifications")["unread_count"] == 0
        for verb in ("follow", "block"):
            self.bob.put(f"/accounts/ada/{verb}", status=404)
        self.bob.put(f"/posts/{self.posts[0]}/like", status=404)
        self.bob.post(f"/posts/{self.posts[0]}/comments", {"body": "Where are you?"}, 404)
        self.bob.pay("/orders", {"lines": [{"product_id": self.product, "quantity": 1}]}, 422)
        self.bob.pay("/wallet/transfers", {"to": "ada", "amount": {"amount": 1, "currency": "EUR"}}, 404)
        assert self.ada.get(PATH, 401)["code"] == "invalid_token"
        for login in ("ada", "ada@example.com"):
            anybody.post("/sessions", {"login": login, "password": PASSWORD}, 401)

    def check_counted(self) -> None:
        assert self.bob.get("/accounts/bob")["stats"] == {"followers": 0, "following": 1, "posts": 1}
        assert self.bob.get(f"/posts/{self.bobs}")["stats"] == {"likes": 1, "comments": 1}
        assert self.bob.get("/tags")["items"] == [{"tag": "lamps", "posts": 1}]
        assert [item["post"]["id"] for item in self.bob.get("/posts")["items"]] == [self.bobs]
        assert self.bob.get("/products", facets="true")["facets"]["counted"] == 0


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    clock = ShiftedClock()
    with running(settings, clock) as system:
        yield World(system, clock, real=False)


@pytest.fixture
def people(world: World) -> AdaAndBob:
    return AdaAndBob(world)


@contextmanager
def process_death(people: AdaAndBob) -> Iterator[None]:
    """As if the process died right after the commit: no session is ended, and nothing is cleaned up."""
    sessions, away = people.system.container.stores.sessions, Unavailable("away")
    with (
        patch.object(sessions, "end_all", side_effect=away),
        patch.object(departures.Departures, "clean_up", side_effect=away),
    ):
        yield


def test_everything_is_gone_with_the_answer(people: AdaAndBob) -> None:
    people.warm()
    leave(people.ada)
    people.check_gone()
    people.check_counted()
    people.drained()
    people.check_gone()
    people.check_counted()


def test_after_the_commit_alone_nothing_is_shown(people: AdaAndBob) -> None:
    """As if the process died right after the commit; the event completes the deletion."""
    people.warm()
    with process_death(people):
        leave(people.ada)
    account = UUID(people.ada.account["id"])
    assert people.system.container.stores.documents.posts.counts([account]) == {account: 3}, (
        "or this test shows nothing"
    )
    people.system.container.stores.sessions.end_all(account, keep=None)
    people.check_gone()
    people.drained()
    people.check_gone()
    people.check_counted()


def test_the_event_ends_the_sessions(people: AdaAndBob) -> None:
    with process_death(people):
        leave(people.ada)
    people.drained()
    assert people.ada.get(PATH, 401)["code"] == "invalid_token"


@pytest.mark.parametrize("failing", ["products", "comments"])
def test_an_interrupted_clean_up_is_continued(people: AdaAndBob, failing: str) -> None:
    store = getattr(people.system.container.stores.documents, failing)
    with patch.object(store, "delete_of", side_effect=Unavailable("documents")):
        leave(people.ada)
        people.drained()
    people.check_gone()
    people.drained()
    people.check_counted()


def test_more_than_a_slice_is_removed_slice_by_slice(people: AdaAndBob) -> None:
    with patch.object(departures, "SLICE", 1):
        leave(people.ada)
        people.check_gone()
        people.drained()
    people.check_counted()


def test_the_event_may_be_handled_again(people: AdaAndBob) -> None:
    leave(people.ada)
    people.drained()
    container = people.system.container
    event = container.kit.emitter(AccountDeleted(UUID(people.ada.account["id"]), ("ada",)))
    for _ in range(2):
        handle(container, event)
    people.drained()
    people.check_counted()


def test_a_wrong_password_deletes_nothing(people: AdaAndBob) -> None:
    assert leave(people.ada, "wrong password", 403)["code"] == "wrong_password"
    assert leave(people.ada, "", 422)["errors"][0]["pointer"] == "/password"
    assert people.ada.delete(PATH, 400)["code"] == "malformed_json"
    assert people.ada.get("/sessions")["items"]
    people.drained()
    assert people.bob.get("/accounts/ada")["stats"]["posts"] == 3
    assert people.ada.get(PATH)


def test_a_stolen_session_cannot_guess_the_password(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"login_failures": 2})) as system:
        ada = system.person("ada")
        for _ in range(2):
            leave(ada, "wrong password", 403)
        assert leave(ada, PASSWORD, 429)["code"] == "too_many_requests"
        assert ada.get(PATH)


def test_orders_and_entries_stay_without_the_name(people: AdaAndBob) -> None:
    """After the seller's account is deleted, the order is paid nevertheless, and the buyer still sees it."""
    leave(people.ada)
    people.drained()
    order = people.bob.get(f"/orders/{people.order}")
    assert (order["lines"][0]["seller_id"], order["lines"][0]["title"]) == (people.ada.account["id"], "Lamp")
    assert [one["id"] for one in people.bob.get("/orders")["items"]] == [people.order]
    assert sum(1 for _ in people.system.container.stores.relational.audit.ledger()) == 0


def test_money_is_forfeited_only_on_request(world: World) -> None:
    ada, bob = world.person().rich(150, "EUR").rich(7, "JPY"), world.person()
    problem = leave(ada, status=409)
    assert (problem["code"], problem["detail"]) == ("money_left", "the wallet has 150 EUR, 7 JPY, in minor units")
    for amount, currency in ((150, "EUR"), (7, "JPY")):
        assert leave(ada, status=409, forfeit=False)["code"] == "money_left"
        ada.pay("/wallet/transfers", {"to": bob.handle, "amount": {"amount": amount, "currency": currency}})
    leave(ada)
    for wrong in ("true", 1, None):
        assert leave(bob, status=422, forfeit=wrong)["errors"][0]["pointer"] == "/forfeit"
    leave(bob, forfeit=True)
    assert sum(1 for _ in world.system.container.stores.relational.audit.ledger()) == 0


def test_held_money_prevents_the_deletion(world: World) -> None:
    buyer, _, order = world.order()
    buyer.pay("/wallet/transfers", {"to": world.person().handle, "amount": {"amount": 999_900, "currency": "EUR"}})
    assert (buyer.available(), leave(buyer, status=409)["code"]) == (0, "money_left")
    buyer.pay(f"/orders/{order}/cancel", None, 200)
    leave(buyer, forfeit=True)


@pytest.mark.parametrize("act", ["fulfil", "refunds"])
def test_a_seller_must_finish_the_orders_first(world: World, act: str) -> None:
    buyer, seller, order = world.order()
    assert leave(seller, status=409, forfeit=True)["code"] == "orders_unfinished"
    world.clock.ahead += timedelta(minutes=1)
    world.system.sweeper.sweep()
    assert leave(seller, status=409, forfeit=True)["code"] == "orders_unfinished"
    assert seller.get(PATH), "nothing has happened"
    refunds = act == "refunds"
    seller.pay(f"/orders/{order}/{act}", {} if refunds else None, 201 if refunds else 200)
    leave(seller, forfeit=True)
    assert buyer.get(f"/orders/{order}")["state"] == ("refunded" if refunds else "fulfilled")


def test_a_cancelled_order_does_not_prevent_the_deletion(world: World) -> None:
    buyer, seller, order = world.order()
    buyer.pay(f"/orders/{order}/cancel", None, 200)
    leave(seller)


def test_a_seller_still_refunds_a_buyer_who_left(world: World) -> None:
    buyer, seller, order = world.order(paid=True)
    leave(buyer, forfeit=True)
    assert [one["id"] for one in seller.get("/orders", role="seller")["items"]] == [order]
    seller.pay(f"/orders/{order}/refunds", {})
    assert seller.get("/wallet/entries")["items"][0]["other"] is None


def test_the_address_is_free_and_the_handle_is_not(people: AdaAndBob) -> None:
    leave(people.ada)
    body = {"handle": "Ada", "email": "ada@example.com", "password": PASSWORD, "display_name": "Ada"}
    assert people.system.anybody().post("/accounts", body, 409)["code"] == "handle_taken"
    people.system.anybody().post("/accounts", body | {"handle": "ada2"})


def test_content_added_by_a_request_under_way_is_removed_too(people: AdaAndBob) -> None:
    """The request was authenticated before the account was deleted, and writes after the clean-up."""
    leave(people.ada)
    people.drained()
    content, ada = people.system.container.content, UUID(people.ada.account["id"])
    post = content.posts.publish(ada, PostDraft("Late", "Too late.", ("late",)))
    content.comments.add(ada, UUID(people.bobs), "Late")
    people.bob.get(f"/posts/{post.id}", 404)
    people.drained()
    people.check_counted()


def test_deleting_needs_a_session(system: System) -> None:
    assert leave(system.anybody(), PASSWORD, 401)["code"] == "unauthenticated"
