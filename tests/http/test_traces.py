"""One trace from a post to the follower's page, and which attributes spans may have."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.telemetry import spans
from config import Settings
from repositories.outbox import Claim
from repositories.sqlite.file import path_of
from tests.apps import BASE, Person, System, embedded, running
from tests.http.stream_reader import Make, Reader
from tests.recorded import FoundSpan, SpanRecorder, Spans
from tests.system.relay.memory_sink import MemorySink, serve, worker

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"
# Invalid by W3C Trace Context, section 3.2.
MALFORMED = [
    "",
    "nonsense",
    SENT.upper(),
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-01-more",
    f"0-{TRACE}-{SPAN}-01",
    f"00_{TRACE}_{SPAN}_01",
    f"{SENT},{SENT}",
    f"00-{TRACE[:-1]}g-{SPAN}-01",
]
# All attributes that spans may have.
ATTRIBUTES = {
    *("url.scheme", "http.request.method", "http.route", "http.response.status_code", "error.type"),
    *("db.system.name", "db.operation.name", "db.query.summary", "quartet.store", "quartet.round_trips"),
    *("messaging.system", "messaging.destination.name", "messaging.operation.name", "messaging.operation.type"),
    *("messaging.message.id", "messaging.batch.message_count", "quartet.event.type", "quartet.event.attempts"),
    *("quartet.deliveries", "quartet.sink", "server.address"),
}


@pytest.fixture
def recorded() -> Iterator[SpanRecorder]:
    made = SpanRecorder()
    with made.recording():
        yield made


def followed(system: System) -> tuple[Person, Person]:
    """An author and a follower."""
    ada, bob = system.person(), system.person()
    bob.put(f"/accounts/{ada.handle}/follow")
    system.relay.drain()
    return ada, bob


def test_one_trace_leads_from_the_post_to_the_followers_page(make: Make, recorded: SpanRecorder) -> None:
    system = make()
    ada, bob = followed(system)
    recorded.forget()
    with closing(Reader(bob)) as reader:
        recorded.forget()
        ada.publish()
        system.relay.drain()
        [news] = reader.events(1)
    bob.send("GET", "/feed", headers={"traceparent": json.loads(news.fields["data"])["traceparent"]})
    story = recorded.story
    published = story.one(f"POST {BASE}/posts")
    assert (published.kind, published.parent, published.links) == ("SERVER", "", [])
    processed = story.one("process PostPublished")
    batch = story.one("receive outbox")
    assert (processed.trace, processed.parent, processed.kind) == (published.trace, published.id, "CONSUMER")
    assert processed.links == [(batch.trace, batch.id)]
    assert batch.links == [(published.trace, published.id)]
    assert (batch.trace != published.trace, batch.parent, batch.kind) == (True, "", "CONSUMER")
    assert [one.name for one in story.below(processed)] == ["follow_departed", "drop_post", "deliver"]
    chunk = story.one("push chunk")
    assert chunk in story.under(processed)
    assert chunk.attributes["quartet.deliveries"] == 1
    page = story.one(f"GET {BASE}/feed")
    assert page in story.under(processed)
    assert page.trace == published.trace
    for span, more in ((published, {"CONSUMER"}), (chunk, set()), (page, set())):
        assert {one.kind for one in story.below(span)} == {"CLIENT", *more}
    stores = {one.attributes["quartet.store"] for one in story.under(published) if one.kind == "CLIENT"}
    assert stores == {"relational", "documents", "feeds", "sessions", "cache"}
    assert {one.attributes["db.system.name"] for one in story if one.kind == "CLIENT"} == {"sqlite"}
    inside = [one for one in story.below(published) if one.kind == "CLIENT"]
    assert sum(one.seconds for one in inside) <= published.seconds


def test_a_batch_is_linked_to_every_trace_that_it_serves(system: System, recorded: SpanRecorder) -> None:
    ada, bob = followed(system)
    recorded.forget()
    ada.publish()
    bob.publish()
    system.relay.drain()
    story = recorded.story
    posts = story.named(f"POST {BASE}/posts")
    batch = story.one("receive outbox")
    assert sorted(batch.links) == sorted((one.trace, one.id) for one in posts)
    assert batch.attributes["messaging.batch.message_count"] == 2
    tries = story.named("process PostPublished")
    assert {(one.trace, one.parent) for one in tries} == {(one.trace, one.id) for one in posts}
    assert len({one.trace for one in tries}) == 2


def test_the_span_of_a_sink_is_linked_to_the_writing_request(tmp_path: Path, recorded: SpanRecorder) -> None:
    with running(Settings(**embedded(tmp_path), sinks="kafka://127.0.0.1:1/events")) as system:
        story, sink = sent_to_a_sink(system, recorded)
    published, sent = story.one(f"POST {BASE}/posts"), story.one("send events")
    assert (sent.kind, sent.parent, sent.links) == ("PRODUCER", "", [(published.trace, published.id)])
    assert sent.attributes["quartet.sink"] == "kafka"
    assert sent.attributes["messaging.system"] == "kafka"
    assert sent.attributes["messaging.destination.name"] == "quartet.events"
    assert sent.attributes["messaging.batch.message_count"] == 1
    assert sink.kept[-1].traceparent.startswith(f"00-{published.trace}-{published.id}-")


def sent_to_a_sink(system: System, recorded: SpanRecorder) -> tuple[Spans, MemorySink]:
    """The spans of one post that is also sent to a sink; and the sink."""
    sink, (ada, _) = MemorySink(), followed(system)
    first = worker(system.container, sink)
    serve(first)
    first.close()
    recorded.forget()
    ada.publish()
    system.relay.drain()
    serve(worker(system.container, sink))
    return recorded.story, sink


def test_a_fan_out_in_slices_stays_one_trace_without_failures(tmp_path: Path, recorded: SpanRecorder) -> None:
    settings = Settings(**embedded(tmp_path), fanout_chunk=1, fanout_slice_seconds=0.0)
    with running(settings) as system:
        ada, _ = followed(system)
        system.person().put(f"/accounts/{ada.handle}/follow")
        system.relay.drain()
        recorded.forget()
        ada.publish()
        system.relay.drain()
    tries = recorded.story.named("process PostPublished")
    assert len(tries) > 1
    assert {(one.trace, one.failed) for one in tries} == {(recorded.story.one(f"POST {BASE}/posts").trace, False)}


def test_a_callers_trace_is_continued(system: System, recorded: SpanRecorder) -> None:
    ada, _ = followed(system)
    recorded.forget()
    answer = ada.send("GET", "/accounts/me", headers={"traceparent": SENT, "tracestate": "a=1"})
    span = recorded.story.one(f"GET {BASE}/accounts/me")
    assert (span.trace, span.parent) == (TRACE, SPAN)
    assert f'traceparent;desc="00-{TRACE}-{span.id}-01"' in answer.headers["Server-Timing"]


@pytest.mark.parametrize("sent", MALFORMED)
def test_a_malformed_parent_is_ignored(system: System, recorded: SpanRecorder, sent: str) -> None:
    ada = system.person()
    recorded.forget()
    assert ada.send("GET", "/accounts/me", headers={"traceparent": sent}).status_code == 200
    span = recorded.story.one(f"GET {BASE}/accounts/me")
    assert span.parent == ""
    assert span.trace != TRACE


def test_a_parent_of_a_later_version_is_read(system: System, recorded: SpanRecorder) -> None:
    ada = system.person()
    ada.send("GET", "/accounts/me", headers={"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes"})
    assert recorded.story[-1].trace == TRACE


def test_a_trace_that_the_caller_does_not_record_is_not_recorded(system: System, recorded: SpanRecorder) -> None:
    ada, _ = followed(system)
    recorded.forget()
    sent = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    answer = ada.send("POST", "/posts", json={"title": "A post", "body": "Words."}, headers=sent)
    assert "traceparent" not in answer.headers["Server-Timing"]
    system.relay.drain()
    assert [one for one in recorded.story if one.trace == TRACE] == []


def test_without_a_recorder_a_callers_trace_reaches_the_event(system: System) -> None:
    ada = system.person()
    for sent, kept in [(SENT, SENT), *((one, "") for one in MALFORMED), (None, "")]:
        headers = {} if sent is None else {"traceparent": sent}
        answer = ada.send("POST", "/posts", json={"title": "A post", "body": "Words."}, headers=headers)
        assert "traceparent" not in answer.headers["Server-Timing"]
        assert [claim.event.traceparent for claim in waiting(system)] == [kept]
    assert spans.traceparent() == ""


def waiting(system: System) -> list[Claim]:
    """Take the waiting events out of the outbox of the documents."""
    outbox, now = system.container.stores.documents.outbox, system.container.kit.clock()
    claims = outbox.claim(now=now, lease_until=now, limit=100)
    outbox.acknowledge(claims)
    return claims


def test_a_share_of_the_traces_is_recorded(system: System) -> None:
    none = SpanRecorder()
    with none.recording(sampled=0.0):
        followed(system)
    assert none.story == []


def test_pages_that_are_kept_whole_have_spans_too(system: System, recorded: SpanRecorder) -> None:
    post = system.person().publish()
    stranger = system.app.test_client()
    for _ in range(3):
        stranger.get(f"{BASE}/posts/{post}")
    recorded.forget()
    assert stranger.get(f"{BASE}/posts/{post}").status_code == 200
    span = recorded.story.one(f"GET {BASE}/posts/<uuid:post_id>")
    assert (span.attributes["http.response.status_code"], span.parent) == (200, "")


def test_probes_and_scrapes_are_traced_only_with_a_traceparent(system: System, recorded: SpanRecorder) -> None:
    client = system.app.test_client()
    for path in ("/health/live", "/health/ready", "/metrics"):
        client.get(path)
    assert recorded.story == []
    client.get("/health/live", headers={"traceparent": SENT})
    assert recorded.story.one("GET /health/live").trace == TRACE


def test_an_unavailable_store_fails_its_span_and_the_requests(system: System, recorded: SpanRecorder) -> None:
    ada = system.person()
    recorded.forget()
    with closing(sqlite3.connect(path_of(system.container.settings.documents_url))) as file:
        file.execute("ALTER TABLE documents_posts RENAME TO secret_words")
    ada.post("/posts", {"title": "A post", "body": "Words."}, 503)
    story = recorded.story
    request = story.one(f"POST {BASE}/posts")
    assert (request.failed, request.attributes["error.type"]) == (True, "503")
    assert [one.attributes["quartet.store"] for one in story.below(request) if one.failed] == ["documents"]
    assert "no such table" not in text(story)


def test_a_failed_try_is_a_failed_span(system: System, recorded: SpanRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("secret words")

    ada = system.person()
    monkeypatch.setattr(system.container.feeds.fanouts, "deliver", broken)
    ada.publish()
    system.relay.drain()
    story = recorded.story
    tried = story.one("process PostPublished")
    assert (tried.failed, tried.attributes["error.type"]) == (True, "ValueError")
    assert [one.failed for one in story.below(tried)] == [False, False, True]
    assert not story.one("receive outbox").failed
    assert "secret words" not in text(story)


def test_a_client_error_is_no_failure(system: System, recorded: SpanRecorder) -> None:
    client = system.app.test_client()
    client.get(f"{BASE}/accounts/nobody_there")
    client.open("/nowhere/at/all", method="VERB")
    known, unknown = recorded.story.named(f"GET {BASE}/accounts/<handle:handle>"), recorded.story.one("HTTP")
    assert [(one.failed, one.attributes["http.response.status_code"]) for one in known] == [(False, 404)]
    assert unknown.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in unknown.attributes


def test_spans_have_no_personal_data(system: System, recorded: SpanRecorder) -> None:
    ada, bob = followed(system)
    post = ada.publish("Secret title")
    bob.put(f"/posts/{post}/like")
    bob.post(f"/posts/{post}/comments", {"body": "Secret comment"})
    bob.get(f"/accounts/{ada.handle}", status=200)
    bob.get("/posts", tag="secret-tag")
    bob.delete(f"/accounts/{ada.handle}/follow")
    me = ada.get("/accounts/me")["account"]
    system.relay.drain()
    story = recorded.story
    assert {name for span in story for name in span.attributes} <= ATTRIBUTES
    said = text(story)
    assert len(story) > 50
    for secret in (ada.handle, bob.handle, me["id"], me["email"], post, "Secret", "secret"):
        assert secret.lower() not in said


def text(story: Spans) -> str:
    return json.dumps([everything(span) for span in story]).lower()


def everything(span: FoundSpan) -> list[object]:
    return [span.name, span.attributes]
