"""Problems of a system on one file, and of the application."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.clock import utc_now
from app.doctor.advice.scrape import Series
from app.services.money.provider import TIMED_OUT
from app.telemetry import exposition
from config import Settings
from repositories.observer_port import Subject
from repositories.records.events import Event
from repositories.relational.webhooks_port import Webhook
from repositories.sqlite.file import path_of
from tests.apps import ROLES, System, embedded, running
from tests.engines.kernel import free_port
from tests.shop import money
from tests.system.advice.asking import advised, create_every_kind, looked, named, scraped

WAITING = 8


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path), relay="external")) as found:
        yield found


def quartet(system: System, *arguments: str) -> Result:
    env = {f"QUARTET_{role.upper()}_URL": system.container.settings.relational_url for role in ROLES}
    return CliRunner().invoke(main, ["doctor", "advice", *arguments], env=env | {"QUARTET_LOG_LEVEL": "error"})


def file(system: System) -> Path:
    return path_of(system.container.settings.relational_url)


def test_a_healthy_system_gets_no_advice(system: System) -> None:
    before = scraped(system)
    create_every_kind(system)
    found = looked(system.container, scraped(system).since(before))
    assert [seen.notes for seen, _ in found] == [(), ()]
    assert advised(system.container, scraped(system).since(before)) == []


def test_an_index_that_was_dropped_is_found_and_the_command_makes_it(system: System) -> None:
    with sqlite3.connect(file(system)) as connection:
        connection.execute("DROP INDEX follows_followers")
        connection.execute("DROP INDEX documents_posts_author")
    found = advised(system.container)
    assert named(found) == {("index-missing", "follows_followers"), ("index-missing", "documents_posts_author")}
    with sqlite3.connect(file(system)) as connection:
        for one in found:
            connection.execute(one.command.split("'")[1])
    assert advised(system.container) == []


def test_writes_that_wait_for_the_file_lead_to_the_advice_of_postgresql(system: System) -> None:
    before = scraped(system)
    ready = threading.Barrier(WAITING + 1)

    def hold() -> None:
        with sqlite3.connect(file(system), isolation_level=None) as connection:
            connection.execute("BEGIN IMMEDIATE")
            ready.wait()
            threading.Event().wait(1.0)
            connection.execute("ROLLBACK")

    def write() -> None:
        with system.container.stores.relational.transaction() as tx:
            tx.emit(Event(uuid4(), "AccountFollowed", f"account:{uuid4()}", utc_now(), b"{}"))

    def wait_and_write() -> None:
        ready.wait()
        write()

    threads = [threading.Thread(target=hold), *(threading.Thread(target=wait_and_write) for _ in range(WAITING))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(100):
        write()
    [found] = [
        one for one in advised(system.container, scraped(system).since(before)) if one.rule == "file-writes-wait"
    ]
    assert found.about == "relational"
    assert found.figures["writes"] >= 100
    assert "PostgreSQL comes next" in found.words
    assert found.page.startswith("growing.md#")


def test_waiting_and_dead_lettered_events_are_found(system: System) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    with system.container.stores.relational.transaction() as tx:
        tx.emit(Event(uuid4(), "AccountFollowed", "account:1", long_ago, b"{}"))
        tx.event_log.append([Event(uuid4(), "AccountFollowed", "account:2", long_ago, b"{}")])
    system.container.stores.relational.event_log.register("kafka:far")
    [claim] = system.container.stores.relational.outbox.claim(
        now=utc_now(), lease_until=utc_now() + timedelta(seconds=60), limit=10
    )
    assert named(advised(system.container)) == {("relay-behind", "relational")}
    system.container.stores.relational.outbox.dead_letter(claim, reason="no", attempts=8, now=utc_now())
    assert named(advised(system.container)) == {("events-dead-lettered", "relational")}
    with sqlite3.connect(file(system)) as connection:
        connection.execute("UPDATE event_log SET logged_at = logged_at - 600000000")
    found = advised(system.container)
    assert named(found) == {("events-dead-lettered", "relational"), ("sink-behind", "kafka:far")}


def test_a_payout_that_the_provider_has_not_decided_is_no_backlog(system: System) -> None:
    ada = system.person().rich()
    ada.pay("/wallet/payouts", money(TIMED_OUT), 503)
    system.relay.drain()
    long_ago(system)
    system.relay.drain()
    [backlog] = [one for one in outboxes(system) if one.figures["unsent"]]
    assert backlog.figures["unsent"] == 1
    assert advised(system.container) == []
    # Without a relay it is not asked for again when it is due.
    long_ago(system)
    long_ago(system)
    assert named(advised(system.container)) == {("relay-behind", "relational")}


def long_ago(system: System) -> None:
    """Let the events in the outbox be five minutes older."""
    with sqlite3.connect(file(system)) as connection:
        connection.execute("UPDATE outbox SET happened_at = happened_at - 300000000, due_at = due_at - 300000000")


def outboxes(system: System) -> list[Subject]:
    return [one for seen, _ in looked(system.container) for one in seen.subjects if one.kind == "outbox"]


def test_the_advice_on_a_webhook_is_about_webhooks(system: System) -> None:
    relational, hook = system.container.stores.relational, Webhook(uuid4(), "https://example.com/", (), "s", utc_now())
    with relational.transaction() as tx:
        tx.webhooks.add(hook)
        tx.event_log.append([Event(uuid4(), "AccountFollowed", "account:1", utc_now(), b"{}")])
    with sqlite3.connect(file(system)) as connection:
        connection.execute("UPDATE event_log SET logged_at = logged_at - 600000000")
    [found] = advised(system.container)
    assert named([found]) == {("webhook-behind", hook.sink)}
    assert f'PUT /operator/webhooks/{hook.id}/state with {{"enabled": true}}' in found.command
    assert f"DELETE /operator/webhooks/{hook.id}" in found.command
    assert "sinks" not in found.command
    cursor = relational.event_log.claim(hook.sink, lease=timedelta(seconds=30))
    assert cursor
    [logged] = relational.event_log.after(0, limit=9)
    with relational.transaction() as tx:
        tx.event_log.dead_letter(cursor, logged.position, "500")
    both = {("webhook-behind", hook.sink), ("webhook-refuses", hook.sink)}
    assert named(advised(system.container)) == both
    with relational.transaction() as tx:
        tx.event_log.switch(hook.sink, on=False)
    assert named(advised(system.container)) == {("webhook-refuses", hook.sink)}, "for a disabled one nothing waits"


def test_the_command_says_the_same_in_words_and_as_json(system: System) -> None:
    container = system.container
    outboxes = {"relational": container.stores.relational.outbox}
    whole = exposition.everything(
        container.stores.by_role(),
        outboxes,
        container.money.anchors.known,
        utc_now,
        container.stores.relational.event_log,
    )
    end = exposition.serve("127.0.0.1", port := free_port(), whole)
    try:
        well = quartet(system, "--metrics", f"http://127.0.0.1:{port}/metrics", "--over", "0.01")
    finally:
        end()
    assert (well.exit_code, well.output.splitlines()[-1]) == (0, "nothing to advise")
    assert "not looked at" not in well.output
    with sqlite3.connect(file(system)) as connection:
        connection.execute("DROP INDEX likes_post")
    sick = quartet(system, "--metrics", f"http://127.0.0.1:{port}/metrics")
    assert sick.exit_code == 1
    assert "index-missing: the index likes_post" in sick.output
    assert "not looked at: no metrics at http://127.0.0.1" in sick.output
    said = quartet(system, "--json")
    assert said.exit_code == 1
    record = json.loads(said.output)
    assert [one["rule"] for one in record["advice"]] == ["index-missing"]
    assert record["advice"][0]["command"].startswith("sqlite3 ")
    assert {one["engine"] for one in record["looked_at"]} == {"SQLite", "Quartet"}


def test_a_url_without_metrics_is_a_note_and_no_error(system: System) -> None:
    answer = quartet(system, "--metrics", "http://127.0.0.1:1/metrics", "--metrics", "file:///etc/hostname")
    assert answer.exit_code == 0
    assert answer.output.count("not looked at: no metrics") == 2


def test_counters_of_several_processes_are_added_and_gauges_are_not() -> None:
    both = Series()
    for number in (1, 2):
        both.add(
            f'quartet_http_requests_total{{status="200",route="/"}} {number}0\n'
            f'quartet_outbox_unsent{{truth="documents"}} {number}\n'
        )
    assert both.total("quartet_http_requests_total") == 30
    assert both.total("quartet_outbox_unsent") == 2
    later = Series()
    later.add('quartet_http_requests_total{status="200",route="/"} 5\nquartet_outbox_unsent{truth="documents"} 2\n')
    # After a restart of the server its counters begin at 0.
    assert later.since(both).total("quartet_http_requests_total") == 5
    assert later.since(both).total("quartet_outbox_unsent") == 2
