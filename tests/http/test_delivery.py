"""The progress of a post's delivery, as its author sees it."""

from dataclasses import replace
from uuid import UUID, uuid4

import structlog

from config import Settings
from tests.apps import Person, System, running


def followed(system: System, followers: int) -> Person:
    author = system.person()
    for _ in range(followers):
        system.person().put(f"/accounts/{author.handle}/follow")
    system.relay.drain()
    return author


def delivery(author: Person, post: str) -> dict[str, object]:
    found: dict[str, object] = author.get(f"/posts/{post}/delivery")
    return found


def test_a_post_is_in_flight_until_the_relay_has_dispatched_it(system: System) -> None:
    author = followed(system, 3)
    post = author.publish()
    before = delivery(author, post)
    assert before["state"] == "in_flight"
    assert (before["audience"], before["delivered"], before["remaining"]) == (3, 0, 3)
    assert before["lag"] == {"p50_ms": None, "p99_ms": None}
    system.relay.drain()
    after = delivery(author, post)
    assert after["state"] == "delivered"
    assert (after["audience"], after["delivered"], after["remaining"]) == (3, 3, 0)
    assert after["finished_at"]
    created_at = author.get(f"/posts/{post}")["post"]["created_at"]
    assert [one["published_at"] for one in (before, after)] == [created_at, created_at]
    lag = after["lag"]
    assert isinstance(lag, dict)
    assert 0 < lag["p50_ms"] <= lag["p99_ms"] < 60_000


def test_the_trace_id_is_that_of_the_publishing_request(system: System) -> None:
    author = followed(system, 1)
    answer = author.send("POST", "/posts", json={"title": "A post", "body": "Some words."})
    with structlog.testing.capture_logs() as logs:
        system.relay.drain()
    trace = answer.headers["X-Request-Id"]
    assert delivery(author, answer.get_json()["post"]["id"])["trace_id"] == trace
    told = [line for line in logs if line["event"] == "delivered"]
    assert [(line["request_id"], line["delivered"]) for line in told] == [(trace, 1)]
    assert told[0]["p99_ms"] >= 1


def test_a_delivery_in_slices_reports_the_remaining_followers(settings: Settings) -> None:
    sliced = replace(settings, fanout_chunk=2, fanout_slice_seconds=0.0)
    with running(sliced) as system:
        author = followed(system, 5)
        post = author.publish()
        seen = []
        for _ in range(10):
            system.relay.round()
            seen.append(delivery(author, post))
            if seen[-1]["state"] == "delivered":
                break
        assert {one["state"] for one in seen[:-1]} == {"running"}
        assert all(one["audience"] == 5 for one in seen)
        assert [one["remaining"] for one in seen] == sorted(
            (5 - int(str(one["delivered"])) for one in seen), reverse=True
        )
        assert 2 in [one["delivered"] for one in seen]
        assert seen[-1]["remaining"] == 0


def test_a_post_of_an_author_above_the_threshold_is_pulled(settings: Settings) -> None:
    with running(replace(settings, pull_threshold=1)) as system:
        author = followed(system, 2)
        post = author.publish()
        system.relay.drain()
        found = delivery(author, post)
        assert found["state"] == "pulled"
        assert (found["audience"], found["delivered"], found["remaining"]) == (2, 0, 2)


def test_a_forgotten_fan_out_is_delivered_without_numbers(system: System) -> None:
    author = followed(system, 1)
    post = author.publish()
    system.relay.drain()
    with system.container.stores.relational.transaction() as tx:
        tx.fanouts.forget(UUID(post))
    found = delivery(author, post)
    assert found["state"] == "delivered"
    assert (found["audience"], found["delivered"], found["remaining"], found["trace_id"]) == (None, None, None, None)


def test_only_the_author_sees_it(system: System) -> None:
    author, other = system.person(), system.person()
    post = author.publish()
    other.get(f"/posts/{post}/delivery", 403)
    system.anybody().get(f"/posts/{post}/delivery", 401)
    author.get(f"/posts/{uuid4()}/delivery", 404)
    author.delete(f"/posts/{post}", etag="*")
    author.get(f"/posts/{post}/delivery", 404)
