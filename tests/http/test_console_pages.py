"""What the console shows, and that it works while stores are away."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from markupsafe import escape

from app.clock import utc_now
from app.container import assemble, open_stores
from app.http import create_app
from app.http.console.panels import PANELS
from config import Settings
from repositories.outbox import Outbox
from repositories.records.events import Event
from tests.apps import PlainHasher, System, embedded, running
from tests.http.console_pages import HTMX, PAGES, FailingStore, PolicyViolations, form_token, shown, why


def test_every_page_is_shown(system: System, console: FlaskClient) -> None:
    system.person().publish()
    system.relay.drain()
    for path in PAGES:
        text = shown(console.get(f"/console{path}"))
        assert "Skip to content" in text
        partial = console.get(f"/console{path}", headers=HTMX)
        if path.removeprefix("/") in PANELS:
            assert "Skip to content" not in shown(partial)
            assert partial.text.lstrip().startswith("<div data-read")


def test_unknown_things_are_answered_by_a_page(console: FlaskClient) -> None:
    assert console.get("/console/").headers["Location"] == "/console"
    for path in ("/assets/../views.py", "/assets/nothing.js", "/dead-letters/feeds/all"):
        assert console.get(f"/console{path}").status_code == 404
    assert "no id" in shown(console.get("/console/dead-letters/relational/0"), 400)
    assert "no account nobody" in shown(console.get("/console/feed?reader=nobody"), 404)
    assert shown(console.get("/console/feed?reader=nobody&before=x"), 400)
    assert shown(console.get("/console/dead-letters?source=unknown&page=-3"))


@pytest.mark.parametrize(
    "hostile",
    ["%00", "%3Cscript%3Ealert(1)%3C", "%22%3E%3Cimg%20src%3Dx%3E", "%7B%7B7*7%7D%7D", "9" * 5000],
)
def test_hostile_queries_run_no_script(console: FlaskClient, hostile: str) -> None:
    places = ("feed?reader=", "feed?before=", "live/follow?reader=", "dead-letters?source=", "dead-letters?page=")
    for place in (*places, "dead-letters?replayed=", "dead-letters/relational/", "assets/"):
        for headers in ({}, HTMX):
            path = f"/console/{place}{hostile}"
            answer = console.get(path, headers=headers)
            assert answer.status_code in {200, 303, 400, 404}, path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert PolicyViolations(answer.text).refused == []
            assert console.head(path, headers=headers).status_code == answer.status_code


@pytest.mark.parametrize(
    "hostile",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}{% raw %}", "\u202egnp.exe", "W" * 80],
)
def test_hostile_texts_are_shown_as_written(system: System, console: FlaskClient, hostile: str) -> None:
    ada = system.person()
    ada.patch("/accounts/me", {"display_name": hostile, "bio": hostile}, etag="*")
    ada.post("/posts", {"title": hostile, "body": hostile, "tags": [hostile[:40]]}, 201)
    answer = console.get(f"/console/feed?reader={ada.handle}")
    assert shown(answer).count(hostile) == 2
    # Isolated from the surrounding text, whatever its direction.
    assert answer.text.count(f"<bdi>{escape(hostile)}</bdi>") == 2


def test_a_link_cannot_put_a_command_on_the_page(console: FlaskClient) -> None:
    answer = console.get("/console/dead-letters", query_string={"source": "x; echo gone"})
    assert "quartet sinks replay" not in shown(answer)


@pytest.mark.parametrize("name", ["console.css", "console.js", "htmx-4.0.1.min.js", "icon.svg", "LICENSE.htmx.txt"])
def test_its_files_load_nothing_from_other_hosts(guarded: System, name: str) -> None:
    answer = guarded.app.test_client().get(f"/console/assets/{name}")
    assert answer.status_code == 200
    assert answer.headers["ETag"]
    assert not re.search(rb"https?://(?!www\.w3\.org|[a-z.]*htmx\.org)", answer.data)


def test_it_is_not_in_the_api_document(system: System) -> None:
    assert "/console" not in system.app.test_client().get("/openapi.json").text


def test_stores_routes_and_lags_have_their_figures(system: System, console: FlaskClient) -> None:
    ada = system.person()
    ada.publish()
    ada.get(f"/accounts/{ada.handle}")
    text = shown(console.get("/console/lags"))
    assert re.search(r"relational 0 \S 0 0", text)
    assert re.search(r"documents 1 (under 1|\d+) s 0 0", text)
    assert "GET /api/v1/accounts/{handle}" in shown(console.get("/console/routes"))
    assert shown(console.get("/console/stores")).count("SQLite ok") == 5
    assert "on the rung file" in shown(console.get("/console/ladder"))


def test_metrics_may_be_off(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path), metrics=False)) as system:
        client = system.app.test_client()
        for path in PAGES:
            shown(client.get(f"/console{path}"))
        assert "Metrics are off" in shown(client.get("/console/routes"))


# While a store is away


@pytest.mark.parametrize("role", ["relational", "documents", "feeds", "sessions", "cache"])
def test_an_unavailable_store_leaves_the_rest_of_the_pages(tmp_path: Path, role: str) -> None:
    settings = Settings(**embedded(tmp_path))
    with running(settings) as system:
        ada = system.person()
        ada.publish()
        dead: dict[str, Any] = {role: FailingStore(role)}
        stores = replace(open_stores(settings), **dead)
        app = create_app(assemble(settings, stores, utc_now, PlainHasher()))
    client = app.test_client()
    text = shown(client.get("/console/stores"))
    assert f"{role} SQLite away {role} is unavailable: <b>no route</b> to db-1.internal db-1.internal:5432 away" in text
    assert text.count("SQLite ok") == 4
    for path in [*(f"/{name}" for name in PANELS), "/dead-letters"]:
        text = shown(client.get(f"/console{path}"))
        assert "away" in text or path not in {"/lags", "/dead-letters"} or role not in {"relational", "documents"}
    lags = shown(client.get("/console/lags"))
    other = {"relational": "documents 1", "documents": "relational 0"}.get(role, "documents 1")
    assert other in lags
    shown(client.get(f"/console/feed?reader={ada.handle}"), 503 if role in {"relational", "documents"} else 200)
    whole = client.get(f"/console/feed?reader={ada.handle}", headers=HTMX)
    assert ("does not answer" in whole.text) == (role in {"relational", "documents"})
    stores.close()


# Dead letters


def dead_letter(system: System, truth: str, count: int, reason: str = "it failed") -> list[UUID]:
    """Dead-letter this many events of an outbox."""
    outbox: Outbox = getattr(system.container.stores, truth).outbox
    now = system.container.kit.clock()
    claims = outbox.claim(now=now, lease_until=now, limit=count)
    assert len(claims) == count
    for claim in claims:
        outbox.dead_letter(claim, reason=reason, attempts=8, now=now)
    return [claim.event.id for claim in claims]


def test_a_dead_letter_is_replayed_after_confirmation(system: System, console: FlaskClient) -> None:
    author = system.person()
    for _ in range(2):
        author.publish()
    first, second = dead_letter(system, "documents", 2, "<script>alert(1)</script> \u202egnol " + "x" * 3000)
    text = shown(console.get("/console/dead-letters?source=documents"))
    assert "PostPublished" in text
    assert "<script>alert(1)</script>" in text
    path = f"/console/dead-letters/documents/{first}"
    assert "dispatched again" in shown(console.get(path))
    outbox = system.container.stores.documents.outbox
    assert outbox.backlog().dead_lettered == 2
    answer = console.post(path, data={"form_token": form_token(console)})
    assert "1 event will be tried again" in shown(console.get(answer.headers["Location"]))
    assert [dead.event.id for dead in outbox.dead_letters(limit=9)] == [second]
    answer = console.post(path, data={"form_token": form_token(console)})
    assert "0 events will be tried again" in shown(console.get(answer.headers["Location"]))
    assert "All 1" in shown(console.get("/console/dead-letters/documents/all"))
    console.post("/console/dead-letters/documents/all", data={"form_token": form_token(console)})
    assert outbox.backlog().dead_lettered == 0
    assert system.relay.drain() == 2


def test_many_dead_letters_come_by_pages(system: System, console: FlaskClient) -> None:
    author = system.person()
    for _ in range(30):
        author.publish()
    every = {str(one) for one in dead_letter(system, "documents", 30)}
    pages = [console.get(f"/console/dead-letters?source=documents&page={n}").text for n in (1, 2, 3)]
    found = [set(re.findall(r"/dead-letters/documents/([0-9a-f-]{36})", text)) for text in pages]
    assert [len(ids) for ids in found] == [25, 5, 0]
    assert set().union(*found) == every
    assert ["Next page" in text for text in pages] == [True, False, False]


def test_events_that_a_sink_refuses_are_listed(system: System, console: FlaskClient) -> None:
    relational, name = system.container.stores.relational, "kafka://broker/<topic>"
    event = Event(uuid4(), "PostPublished", "post:1", utc_now(), b"{}")
    relational.event_log.register(name)
    cursor = relational.event_log.claim(name, lease=timedelta(minutes=1))
    assert cursor
    with relational.transaction() as tx:
        tx.event_log.append([event])
    [logged] = relational.event_log.after(0, limit=9)
    with relational.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, logged.position, "the broker says <no>")
    assert f"{name} 1" in shown(console.get("/console/lags"))
    assert f"sink {name} : 1" in shown(console.get("/console/dead-letters"))
    text = shown(console.get("/console/dead-letters", query_string={"source": name}))
    assert f"PostPublished {event.id}" in text
    assert "the broker says <no>" in text


# A feed, and why


def test_a_post_is_in_flight_until_it_is_pushed(system: System, console: FlaskClient) -> None:
    ada, bob = system.person(), system.person()
    bob.put(f"/accounts/{ada.handle}/follow")
    system.relay.drain()
    old = ada.publish("Old")
    system.relay.drain()
    new = ada.publish("<img src=x onerror=alert(1)>")
    assert why(console, bob.handle) == {new: "in flight", old: "pushed"}
    assert why(console, f"@{bob.handle.upper()}") == {new: "in flight", old: "pushed"}
    system.relay.drain()
    # The posts in flight are remembered for a moment, so the page may show the post as both.
    assert why(console, bob.handle)[new] in {"in flight pushed", "pushed"}
    system.container.feeds.timelines._in_flight._last = None
    assert why(console, bob.handle) == {new: "pushed", old: "pushed"}
    assert list(why(console, bob.handle)) == bob.feed()
    assert why(console, system.person().handle) == {}


def test_a_pulled_author_is_named(system: System, console: FlaskClient) -> None:
    ada, bob = system.person(), system.person()
    bob.put(f"/accounts/{ada.handle}/follow")
    system.relay.drain()
    with system.container.stores.relational.transaction() as tx:
        tx.fanouts.pull(UUID(ada.account["id"]), at=utc_now(), reason="threshold")
    post = ada.publish()
    system.relay.drain()
    assert why(console, bob.handle) == {post: "pulled"}
    assert f"Pulled @{ada.handle}" in shown(console.get(f"/console/feed?reader={bob.handle}"))


def test_showing_a_feed_does_not_wake_its_reader(system: System, console: FlaskClient) -> None:
    ada, stores = system.person(), system.container.stores
    post = ada.publish()
    system.relay.drain()
    reader = UUID(ada.account["id"])
    with stores.relational.transaction() as tx:
        assert tx.feed_activity.sleep(seen_before=utc_now(), limit=10) == [reader]
    before = stores.relational.feed_activity.reader_state(reader)
    assert before.state == "dormant"
    assert why(console, ada.handle) == {post: "pulled"}
    assert stores.relational.feed_activity.reader_state(reader) == before
    ada.feed()
    assert stores.relational.feed_activity.reader_state(reader).state == "waking"


def test_a_long_feed_continues_on_the_next_page(system: System, console: FlaskClient) -> None:
    ada = system.person()
    for number in range(25):
        ada.publish(f"Post {number}")
    found: list[str] = []
    place: dict[str, str] = {}
    while True:
        answer = console.get("/console/feed", query_string={"reader": ada.handle, **place})
        found += why(console, ada.handle, **place)
        onward = re.search(r"before=([0-9a-f-]{36})", answer.text.split("Older posts", 1)[0].rsplit("<a", 1)[-1])
        if "Older posts" not in answer.text or onward is None:
            break
        place = {"before": onward[1]}
    assert found == ada.feed()


def test_live_events_are_followed(system: System, console: FlaskClient) -> None:
    ada, bob = system.person(), system.person()
    bob.put(f"/accounts/{ada.handle}/follow")
    system.relay.drain()
    opened = console.get(f"/console/live/follow?reader={bob.handle}").headers["Location"]
    assert "None yet" in shown(console.get(opened))
    post = ada.publish()
    system.relay.drain()
    assert f'{{"post_id":"{post}"' in shown(console.get(opened, headers=HTMX))
    lost = re.sub(r"at=.*", "at=0123456789abcdef.7", opened)
    assert "Events were lost" in shown(console.get(lost))
    for wrong in ("at=x", "at=.1", "at=..", "at=0123.-1", "at=0123.\u0661"):
        assert shown(console.get(re.sub(r"at=.*", wrong, opened)), 400)
