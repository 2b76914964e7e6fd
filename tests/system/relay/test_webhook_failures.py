"""Receivers of webhooks that do not answer, send malformed answers, ask to wait, or are gone permanently."""

import random
from datetime import timedelta
from email.utils import format_datetime

import pytest

from app.worker.sinks.backoff import Jitter
from tests.receiver import ANSWERS, ENDLESS, MALFORMED, Receiver
from tests.recorded import SpanRecorder
from tests.system.relay.operator import Operator

# A date whose numbers overflow C integers.
NEVER = "429 Feb 99999999999999999999 23:59:59 30 GMT"


@pytest.mark.parametrize("answer", ["500", "404", "302", NEVER, *MALFORMED, *ENDLESS])
def test_only_a_2xx_answer_counts_as_delivered(operator: Operator, receiver: Receiver, answer: str) -> None:
    webhook = operator.add(receiver)
    first, second = operator.log("a", "a")
    receiver.answers.append(answer)
    operator.relay()
    taken = answer in ANSWERS - {"redirect"} | {"endless body", "dripping body"}
    assert receiver.ids == ([first, second] if taken else [first])
    assert operator.state(webhook)["waiting"] == (0 if taken else 2)
    operator.relay(rounds=2)
    assert receiver.ids == ([first, second] if taken else [first, first, second])
    assert len({one.body for one in receiver.posted}) == 2
    assert operator.state(webhook)["reason"] is None


def test_an_answer_sent_before_its_request_does_not_count(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    first, second = operator.log("a", "a")
    receiver.answers.extend(["200 twice", "500"])
    operator.relay()
    assert operator.state(webhook)["waiting"] == 1
    operator.relay(rounds=2)
    assert receiver.ids == [first, second, second]


def test_a_failing_webhook_delays_no_other(operator: Operator, receiver: Receiver, other: Receiver) -> None:
    operator.add(receiver)
    operator.add(other)
    wrote = operator.log(*"abcdefgh")
    receiver.usual = "503"
    operator.relay()
    assert sorted(other.ids) == sorted(wrote)
    assert set(receiver.ids) < set(wrote)


def test_events_of_an_aggregate_stay_in_order_while_answers_fail(operator: Operator, receiver: Receiver) -> None:
    operator.add(receiver)
    chance = random.Random(3)  # noqa: S311  which ones fail
    keys = [chance.choice("abcd") for _ in range(60)]
    wrote = operator.log(*keys)
    receiver.answers.extend(chance.choice(["200", "200", "200", "500", "cut", "empty"]) for _ in range(60))
    operator.relay(rounds=60)
    firsts = list(dict.fromkeys(receiver.ids))
    assert sorted(firsts) == sorted(wrote)
    for key in "abcd":
        own = [one for one, its in zip(wrote, keys, strict=True) if its == key]
        assert [one for one in firsts if one in own] == own


def test_waits_are_bounded_and_random() -> None:
    jitter = Jitter(timedelta(seconds=100), random.Random(1))  # noqa: S311  no secret
    for attempts, most in ((1, 1), (2, 2), (4, 8), (8, 100), (99, 100), (10_000, 100)):
        waits = [jitter(attempts).total_seconds() for _ in range(200)]
        assert 0 <= min(waits) < most / 5
        assert most * 4 / 5 < max(waits) <= most


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_of_a_receiver_is_kept(operator: Operator, receiver: Receiver, as_date: bool) -> None:  # noqa: FBT001
    operator.add(receiver)
    operator.log("a")
    until = operator.clock.now + timedelta(seconds=7200)
    receiver.answers.append(f"429 {format_datetime(until, usegmt=True) if as_date else 7200}")
    operator.relay()
    operator.clock.forward(7000)
    operator.relay()
    assert len(receiver.posted) == 1
    operator.clock.forward(300)
    operator.relay()
    assert len(receiver.posted) == 2


def test_an_event_that_is_refused_is_dead_lettered_and_replayed(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    bad, *others = operator.log(*"abc")
    receiver.refused.add(bad)
    operator.relay(rounds=5)
    assert operator.dead(webhook) == [bad]
    assert set(receiver.ids) == {bad, *others}
    state = operator.state(webhook)
    assert (state["waiting"], state["dead_lettered"], state["enabled"]) == (0, 1, True)
    (listed,) = operator.ask("GET", f"/{webhook['id']}/dead-letters")["items"]
    assert (listed["type"], listed["subject"]) == ("quartet.post.liked.v1", "a")
    assert "500" in listed["reason"]
    assert operator.ask("POST", f"/{webhook['id']}/replay") == {"events": 1}
    operator.relay()
    assert operator.dead(webhook) == [bad]
    operator.relay()
    sent = len(receiver.posted)
    receiver.refused.clear()
    assert operator.ask("POST", f"/{webhook['id']}/replay", {}) == {"events": 1}
    operator.relay()
    assert operator.dead(webhook) == []
    assert receiver.ids[sent:] == [bad]


def test_a_webhook_that_fails_for_long_is_disabled_and_can_be_enabled_again(
    operator: Operator, receiver: Receiver
) -> None:
    webhook = operator.add(receiver)
    wrote = operator.log(*"a" * 9)
    receiver.usual = "500"
    operator.relay(rounds=15)
    state = operator.state(webhook)
    assert (state["enabled"], state["failing_since"] is not None) == (False, True)
    dead = operator.dead(webhook)
    assert 2 <= len(dead) <= 4, "each was tried for three of twelve hours"
    assert dead == wrote[: len(dead)]
    sent = len(receiver.posted)
    receiver.usual = "200"
    operator.relay(rounds=3)
    assert len(receiver.posted) == sent
    assert operator.ask("PUT", f"/{webhook['id']}/state", {"enabled": True})["enabled"]
    operator.relay()
    assert receiver.ids[sent:] == wrote[len(dead) :]
    operator.ask("POST", f"/{webhook['id']}/replay", {})
    operator.relay()
    assert receiver.ids[-len(dead) :] == dead


def test_410_disables_at_once(operator: Operator, receiver: Receiver) -> None:
    webhook = operator.add(receiver)
    operator.log("a")
    receiver.answers.append("410")
    operator.relay(rounds=3)
    assert len(receiver.posted) == 1
    state = operator.state(webhook)
    assert (state["enabled"], state["reason"]) == (False, "the receiver answers 410")


def test_a_failed_delivery_is_a_failed_span(operator: Operator, receiver: Receiver) -> None:
    operator.add(receiver)
    operator.log("a")
    receiver.answers.append("500")
    recorded = SpanRecorder()
    with recorded.recording():
        operator.relay(rounds=2)
    tried, sent = recorded.story.named("send events")
    assert (tried.failed, tried.attributes["error.type"]) == (True, "Unavailable")
    assert not sent.failed
    assert (sent.kind, sent.attributes["http.request.method"]) == ("CLIENT", "POST")
    assert (sent.attributes["quartet.sink"], sent.attributes["server.address"]) == ("webhooks", "127.0.0.1")
    assert not any(name.startswith("messaging.") for name in sent.attributes if name != "messaging.batch.message_count")
    [call] = recorded.story.below(sent)
    assert (call.name, call.attributes["quartet.store"]) == ("send webhooks", "sinks")
    assert "db.system.name" not in call.attributes, "a receiver is not a database"
