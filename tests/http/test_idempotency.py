"""Idempotency keys over HTTP: one effect and one answer."""

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config import Settings
from repositories.errors import Unavailable
from tests.apps import RELATIONAL, Person, System, running
from tests.settable_clock import Clock as SettableClock

pytestmark = pytest.mark.parametrize("settings", RELATIONAL, indirect=True)

DEPOSIT = {"amount": {"amount": 5, "currency": "EUR"}}
LAMP = {"title": "Lamp", "category": "home", "price": {"amount": 12, "currency": "EUR"}}
POST = {"title": "A post", "body": "Some words."}


class Clock(SettableClock):
    step = timedelta()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(settings: Settings, clock: Clock) -> Iterator[System]:
    with running(settings, clock) as found:
        yield found


def is_replay(one: TestResponse, other: TestResponse) -> bool:
    headers = ("Content-Type", "Location", "ETag")
    assert "Idempotent-Replayed" not in one.headers
    return (
        other.headers.get("Idempotent-Replayed") == "true"
        and (one.status_code, one.data) == (other.status_code, other.data)
        and all(one.headers.get(name) == other.headers.get(name) for name in headers)
    )


def requests(system: System, ada: Person) -> Iterator[tuple[str, Any]]:
    system.person("bob")
    post, product = ada.publish(), ada.rich().post("/products", LAMP)["product"]["id"]
    ada.put(f"/products/{product}/stock", {"on_hand": 5}, 200, etag="*")
    yield "/wallet/deposits", DEPOSIT
    yield "/wallet/transfers", {"to": "bob", **DEPOSIT}
    yield "/posts", POST
    yield "/products", LAMP
    yield f"/posts/{post}/comments", {"body": "Well."}
    cid = {"handle": "cid", "email": "cid@example.com", "password": "long enough", "display_name": "Cid"}
    yield "/accounts", cid


def test_a_replay_is_the_same_bytes(system: System) -> None:
    ada = system.person()
    for path, body in requests(system, ada):
        first = ada.keyed(path, body, "one")
        assert first.status_code == 201, first.data
        assert is_replay(first, ada.keyed(path, body, "one")), path
        assert first.headers["Location"]


def test_an_order_is_placed_once_and_replayed_when_things_have_changed(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob").rich()
    product = ada.post("/products", LAMP)["product"]["id"]
    ada.put(f"/products/{product}/stock", {"on_hand": 1}, 200, etag="*")
    body = {"lines": [{"product_id": product, "quantity": 1}]}
    first = bob.keyed("/orders", body, "one")
    ada.delete(f"/products/{product}", etag="*")
    assert is_replay(first, bob.keyed("/orders", body, "one"))
    bob.pay("/orders", body, 422)
    cancelled = bob.keyed(f"/orders/{first.get_json()['id']}/cancel", None, "one")
    assert cancelled.get_json()["state"] == "cancelled"
    assert is_replay(cancelled, bob.keyed(f"/orders/{first.get_json()['id']}/cancel", None, "one"))
    assert is_replay(first, bob.keyed("/orders", body, "one"))


def test_permuted_keys_are_the_same_body(system: System) -> None:
    ada = system.person()
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    texts = ('{"amount": {"amount": 5, "currency": "EUR"}}', '{ "amount":{"currency":"\\u0045UR","amount":5} }')
    one, other = (ada.send("POST", "/wallet/deposits", data=text, headers=headers) for text in texts)
    assert is_replay(one, other)
    assert ada.available() == 5


def test_another_body_is_refused(system: System) -> None:
    ada = system.person()
    for path, body in itertools.islice(requests(system, ada), 2):
        ada.pay(path, body, 201, "one")
        changed = json.loads(json.dumps(body).replace("5", "6"))
        assert ada.pay(path, changed, 422, "one")["code"] == "idempotency_key_reused"
    ada.pay("/posts", POST, 201, "one")
    assert ada.pay("/posts", POST | {"title": "Other"}, 422, "one")["code"] == "idempotency_key_reused"


def test_keys_are_separate_for_each_account_and_route(system: System) -> None:
    ada, bob = system.person("ada"), system.person("bob")
    for person in (ada, bob):
        person.pay("/wallet/deposits", DEPOSIT, 201, "one")
    ada.pay("/wallet/transfers", {"to": "bob", **DEPOSIT}, 201, "one")
    ada.pay("/posts", POST, 201, "one")
    assert (ada.available(), bob.available()) == (0, 10)


def test_refusals_are_not_kept(system: System) -> None:
    ada = system.person()
    bob = system.person("bob")
    body = {"to": "bob", **DEPOSIT}
    ada.pay("/wallet/transfers", {"to": "bob"}, 422, "one")
    assert ada.pay("/wallet/transfers", body, 409, "one")["code"] == "insufficient_funds"
    ada.rich(5).pay("/wallet/transfers", body, 201, "one")
    ada.pay("/wallet/transfers", body, 201, "one")
    assert bob.available() == 5
    missing = {**POST, "product_ids": ["01900000-0000-7000-8000-000000000000"]}
    ada.pay("/posts", missing, 422, "two")
    ada.pay("/posts", POST, 201, "two")


def test_a_replay_works_after_the_recipient_is_renamed(system: System) -> None:
    ada, bob = system.person().rich(), system.person("bob")
    body = {"to": "bob", **DEPOSIT}
    first = ada.keyed("/wallet/transfers", body, "one")
    bob.patch("/accounts/me", {"handle": "robert"}, etag="*")
    assert is_replay(first, ada.keyed("/wallet/transfers", body, "one"))
    ada.pay("/wallet/transfers", body, 404, "two")


def test_one_key_from_two_threads_fifty_times(system: System) -> None:
    ada, bob = system.person().rich(1000), system.person("bob")
    body = {"to": "bob", **DEPOSIT}
    for turn in range(50):
        barrier = threading.Barrier(2)
        answers: list[Any] = []

        def race(turn: int = turn, barrier: threading.Barrier = barrier, answers: list[Any] = answers) -> None:
            client = Person(system.app.test_client(), ada.token, ada.account)
            barrier.wait()
            answers.append(client.keyed("/wallet/transfers", body, f"key-{turn}"))

        threads = [threading.Thread(target=race) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = [a for a in answers if a.status_code == 201]
        assert made
        assert len({a.data for a in made}) == 1
        assert all(
            a.status_code == 201 or a.get_json(force=True)["code"] == "idempotency_key_in_flight" for a in answers
        )
    assert (ada.available(), bob.available()) == (750, 250)


def test_a_claim_in_flight_has_a_retry_after_and_is_then_taken_over(
    timed: System, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies right after the post is stored: the claim stays, without an answer."""
    ada = timed.person()
    once = timed.container.commands.idempotency
    with monkeypatch.context() as ended:
        ended.setattr(once, "finish", _exit)
        ended.setattr(once, "end_lease", lambda _: None)
        with pytest.raises(SystemExit):
            ada.keyed("/posts", POST, "one")
    waiting = ada.keyed("/posts", POST, "one")
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (409, "10")
    assert waiting.get_json(force=True)["code"] == "idempotency_key_in_flight"
    assert ada.pay("/posts", POST | {"title": "Other"}, 422, "one")["code"] == "idempotency_key_reused"
    clock.now += timedelta(seconds=10)
    made = ada.keyed("/posts", POST, "one")
    assert made.status_code == 201
    assert is_replay(made, ada.keyed("/posts", POST, "one"))
    assert [c["post"]["id"] for c in ada.get("/posts")["items"]] == [made.get_json()["post"]["id"]]


@pytest.mark.parametrize("name", ["/posts", "/products", "/comments", "/accounts", "/wallet/deposits"])
def test_a_lost_answer_is_rebuilt_without_a_second_effect(
    system: System, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ada = system.person("ada")
    ((path, body),) = ((p, b) for p, b in requests(system, ada) if p.endswith(name))
    once, before = system.container.commands.idempotency, _counts(system, ada)
    with monkeypatch.context() as lost:
        lost.setattr(once, "_finish", _away)
        assert ada.keyed(path, body, "one").status_code == 503
    assert ada.keyed(path, body, "one").status_code == 201
    assert ada.keyed(path, body, "one").headers["Idempotent-Replayed"] == "true"
    assert sum(_counts(system, ada)) == sum(before) + 1


def test_keys_are_kept_for_a_day(timed: System, clock: Clock) -> None:
    ada = timed.person()
    ada.pay("/posts", POST, 201, "one")
    clock.now += timedelta(hours=24) - timedelta(minutes=5)
    timed.sweeper.sweep()
    assert ada.keyed("/posts", POST, "one").headers["Idempotent-Replayed"] == "true"
    clock.now += timedelta(minutes=5, seconds=1)
    assert timed.sweeper.sweep() == 2
    again = ada.keyed("/posts", POST | {"title": "Other"}, "one")
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)


def test_money_is_not_moved_again_by_an_expired_key(timed: System, clock: Clock) -> None:
    ada, bob = timed.person().rich(100), timed.person("bob")
    body = {"to": "bob", **DEPOSIT}
    first = ada.keyed("/wallet/transfers", body, "one")
    clock.now += timedelta(hours=25)
    timed.sweeper.sweep()
    assert is_replay(first, ada.keyed("/wallet/transfers", body, "one"))
    for to in ("nobody", ada.handle):
        assert ada.pay("/wallet/transfers", body | {"to": to}, 409, "one")["code"] == "idempotency_key_spent"
    bob.put(f"/accounts/{ada.handle}/block")
    bob.patch("/accounts/me", {"handle": "robert"}, etag="*")
    assert is_replay(first, ada.keyed("/wallet/transfers", body, "one"))
    assert bob.available() == 5
    bob.patch("/accounts/me", {"handle": "bob"}, etag="*")
    for other in ({"amount": {"amount": 6, "currency": "EUR"}}, {"memo": "Again."}):
        assert ada.pay("/wallet/transfers", body | other, 409, "one")["code"] == "idempotency_key_spent"


def test_a_sign_in_is_never_replayed(system: System) -> None:
    ada = system.person("ada")
    body = {"login": "ada", "password": "correct horse battery staple"}
    one, other = (ada.keyed("/sessions", body, "one") for _ in range(2))
    assert one.get_json()["token"] != other.get_json()["token"]
    assert "Idempotent-Replayed" not in other.headers


def test_strangers_do_not_share_keys(system: System) -> None:
    nobody = system.anybody()
    for name in ("ada", "bob"):
        body = {"handle": name, "email": f"{name}@example.com", "password": "long enough", "display_name": name}
        assert nobody.pay("/accounts", body, 201, "one")["account"]["handle"] == name


def _counts(system: System, ada: Person) -> list[int]:
    """The numbers of posts, products, accounts (0 or 1: `cid`), comments and entries."""
    cid = ada.send("GET", "/accounts/cid").status_code == 200
    posts = [c["post"]["id"] for c in ada.get("/posts")["items"]]
    comments = sum(len(ada.get(f"/posts/{p}/comments")["items"]) for p in posts)
    return [
        len(posts),
        len(ada.get("/products")["items"]),
        int(cid),
        comments,
        len(ada.get("/wallet/entries")["items"]),
    ]


def _exit(*_: object) -> None:
    raise SystemExit


def _away(*_: object) -> None:
    raise Unavailable("relational")


def test_a_key_still_works_after_the_servers_secret_has_changed(settings: Settings) -> None:
    """Otherwise a deposit of unknown outcome could only be retried with another key, and would be made twice."""
    eve = {"handle": "eve", "email": "eve@example.com", "display_name": "Eve", "password": "correct horse battery"}
    with running(replace(settings, secret_key="a" * 32)) as before:
        ada = before.person("ada")
        deposit = ada.keyed("/wallet/deposits", DEPOSIT, "k")
        registration = before.anybody().keyed("/accounts", eve, "k")
    with running(replace(settings, secret_key="b" * 32)) as after:
        same_ada = Person(after.app.test_client(), ada.token, ada.account)
        assert is_replay(deposit, same_ada.keyed("/wallet/deposits", DEPOSIT, "k"))
        assert is_replay(registration, after.anybody().keyed("/accounts", eve, "k"))


def test_cursors_signed_with_a_previous_secret_are_valid(settings: Settings) -> None:
    old, new = "a" * 32, "b" * 32
    with running(replace(settings, secret_key=old)) as before:
        ada = before.person("ada")
        posts = [ada.publish() for _ in range(3)]
        cursor = ada.get("/posts", limit=1)["next"]
    with running(replace(settings, secret_key=new, previous_secret_keys=f" {old} ,")) as after:
        page = after.anybody().get("/posts", limit=1, cursor=cursor)
        assert [item["post"]["id"] for item in page["items"]] == [posts[1]]
        newer = page["next"]
    with running(replace(settings, secret_key=new)) as later:
        assert later.anybody().get("/posts", limit=1, cursor=newer)["items"]
        assert later.anybody().get("/posts", 400, limit=1, cursor=cursor)["code"] == "bad_cursor"
