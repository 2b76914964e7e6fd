"""Webhooks, from the operator's request to the receiver."""

from datetime import datetime, timedelta
from pathlib import Path

from app.worker.running import relay_of
from app.worker.sinks.receivers import Receivers
from config import Settings
from tests.apps import embedded, running
from tests.receiver import Receiver
from tests.system.crowd import SteppedClock
from tests.system.relay.operator import PATH, TOKEN, Operator, settings


def test_events_are_posted_signed_and_in_order(operator: Operator, receiver: Receiver) -> None:
    author = operator.system.person()
    author.publish("before")
    relay_of(operator.system.container).drain()
    webhook = operator.add(receiver)
    assert webhook["secret"].startswith("whsec_")
    assert "secret" not in operator.state(webhook)
    post = author.publish("now")
    author.patch(f"/posts/{post}", {"title": "then"}, etag="*")
    relay_of(operator.system.container).drain()
    operator.relay()
    events = [one.event for one in receiver.posted]
    assert [one["type"] for one in events if one["subject"] == post] == [
        "quartet.post.published.v1",
        "quartet.post.edited.v1",
    ]
    assert [one["sequence"] for one in events] == sorted(one["sequence"] for one in events)
    assert all(one.signed_with(webhook["secret"]) for one in receiver.posted)
    assert not any(one.signed_with("whsec_AAAA") for one in receiver.posted)
    assert [one["id"] for one in events] == receiver.ids
    assert {one.target for one in receiver.posted} == {"/hook?a=1"}
    assert {one.headers["content-type"] for one in receiver.posted} == {"application/cloudevents+json"}
    operator.relay()
    assert len(receiver.posted) == len(events)
    assert operator.state(webhook)["waiting"] == 0


def test_an_event_is_posted_with_its_trace(operator: Operator, receiver: Receiver) -> None:
    operator.add(receiver)
    operator.log("a")
    operator.relay()
    assert receiver.posted[0].headers["traceparent"] == "00-1-2-01"


def test_an_event_of_an_unknown_type_is_not_sent_to_chosen_types(
    operator: Operator, receiver: Receiver, other: Receiver
) -> None:
    chosen, webhook = operator.add(receiver, "quartet.post.liked.v1"), operator.add(other)
    later, _ = operator.log("a", kind="OfALaterVersion") + operator.log("a")
    operator.relay()
    assert (len(receiver.posted), len(other.posted)) == (1, 1)
    assert [operator.state(one)["dead_lettered"] for one in (chosen, webhook)] == [0, 1]
    assert operator.dead(webhook) == [later]


def test_a_webhook_receives_only_the_chosen_types(operator: Operator, receiver: Receiver, other: Receiver) -> None:
    operator.add(receiver, "quartet.post.deleted.v1", "quartet.post.published.v1")
    webhook = operator.add(other, "quartet.order.paid.v1")
    author = operator.system.person()
    post = author.publish("one")
    author.patch(f"/posts/{post}", {"title": "two"}, etag="*")
    author.delete(f"/posts/{post}", etag="*")
    relay_of(operator.system.container).drain()
    operator.relay()
    assert [one.event["type"] for one in receiver.posted] == ["quartet.post.published.v1", "quartet.post.deleted.v1"]
    assert other.posted == []
    assert operator.state(webhook)["waiting"] == 0


def test_old_and_new_secret_both_sign_for_a_while(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    fresh = operator.ask("POST", f"/{webhook['id']}/secret")
    assert fresh["secret"] != webhook["secret"]
    operator.log("a")
    operator.relay()
    assert receiver.posted[0].signed_with(webhook["secret"])
    assert receiver.posted[0].signed_with(fresh["secret"])
    assert datetime.fromisoformat(fresh["former_until"]) > operator.clock.now + timedelta(hours=23)
    operator.clock.forward(25 * 3600)
    operator.log("a")
    operator.relay()
    assert not receiver.posted[1].signed_with(webhook["secret"])
    assert receiver.posted[1].signed_with(fresh["secret"])


def test_a_replay_sends_events_again_from_a_given_time(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    operator.log("a")
    since = operator.clock()
    late = operator.log("b", "b")
    operator.relay()
    sent = len(receiver.posted)
    assert operator.ask("POST", f"/{webhook['id']}/replay", {"since": since.isoformat()}) == {"events": 2}
    operator.relay()
    assert receiver.ids[sent:] == late


def test_a_removed_webhook_gets_no_more_events(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    operator.log("a")
    workers = Receivers(operator.system.container).workers()
    operator.ask("DELETE", f"/{webhook['id']}", status=204)
    for worker in workers:
        assert worker.step() == 0
    operator.relay()
    assert receiver.posted == []
    assert operator.ask("GET") == {"items": [], "next": None}
    for request in ("GET ", "DELETE ", "POST /secret", "POST /replay", "GET /dead-letters"):
        method, _, path = request.partition(" ")
        assert operator.send(method, f"/{webhook['id']}{path}").status_code == 404


def test_private_addresses_are_refused_where_they_are_dialled(
    tmp_path: Path, clock: SteppedClock, receiver: Receiver
) -> None:
    """Addresses are checked on connecting, so a name that resolves to another address later is refused as well."""
    with running(settings(tmp_path), clock) as system:
        webhook = Operator(system, clock).add(receiver)
    with running(settings(tmp_path, webhooks_networks="10.0.0.0/8"), clock) as system:
        operator = Operator(system, clock)
        made = operator.ask("POST", body={"url": receiver.url.replace("127.0.0.1", "localhost")}, status=201)
        operator.log("a")
        operator.relay()
        assert "no address that may be spoken to" in operator.state(made)["reason"]
        assert operator.state(webhook)["waiting"] == 1
    assert receiver.connections == 0


def test_invalid_bodies_and_urls_are_refused(operator: Operator) -> None:
    for body, at in (
        ({"url": "https://169.254.169.254/"}, "/url"),
        ({"url": "ftp://example.com"}, "/url"),
        ({"url": "https://example.com", "types": ["quartet.post.publishd.v1"]}, "/types"),
        ({"url": "https://example.com", "types": "all"}, "/types"),
        ({"url": 1}, "/url"),
        ({}, "/url"),
    ):
        problem = operator.ask("POST", body=body, status=422)
        assert problem["errors"][0]["pointer"] == at
    assert operator.send("GET", "?x=1").status_code == 400
    assert operator.send("GET", "/00000000-0000-0000-0000-000000000000/dead-letters?cursor=x").status_code in {400, 404}


def test_the_number_of_webhooks_is_limited(operator: Operator) -> None:
    for _ in range(50):
        operator.ask("POST", body={"url": "https://example.com"}, status=201)
    assert operator.ask("POST", body={"url": "https://example.com"}, status=409)["code"] == "webhooks_full"


def test_only_operators_have_access(operator: Operator, tmp_path: Path) -> None:
    person = operator.system.person()
    for token in ("", "x", str(person.token), TOKEN[:-1]):
        assert operator.send("GET", token=token).status_code == 401
    anybody = operator.system.app.test_client().get(PATH)
    assert (anybody.status_code, anybody.headers["WWW-Authenticate"]) == (401, "Bearer")
    with running(Settings(**embedded(tmp_path / "off"))) as system:
        answer = system.app.test_client().get(PATH)
        assert (answer.status_code, answer.get_json()["code"]) == (501, "webhooks_off")
        publish = system.person().publish("quiet")
        assert publish
        relay_of(system.container).drain()
        assert system.container.stores.relational.event_log.after(0, limit=9) == []
