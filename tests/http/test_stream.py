"""`GET /feed/stream` in one process: ids, replay, resync, heartbeat and sessions that end."""

import json
import re
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from app.http.document.live_events import EVENTS
from repositories.errors import Unavailable
from repositories.hot import LiveEvent, Streams
from repositories.hot.streams_port import KEPT
from tests.apps import Person, System
from tests.engines.kernel import wait_until
from tests.http.stream_reader import FAST, HEARTBEAT, Make, Reader, numbers, publish, signing
from tests.system.document import DOCUMENT, misfits

ID = re.compile(r"[0-9a-f]{16}\.\d+")


@pytest.fixture
def system(make: Make) -> System:
    return make()


def test_events_come_as_they_happen_with_ids_names_and_data(system: System) -> None:
    ada, bob = system.person(), system.person()
    with closing(Reader(ada)) as reader:
        response = reader.response
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        publish(system, ada, "one", "two")
        publish(system, bob, "not ada's")
        publish(system, ada, "three")
        got = reader.events(3)
        assert numbers(got) == ["one", "two", "three"]
        assert [block.name for block in got] == ["post"] * 3
        epoch = reader.start.split(".")[0]
        assert [block.id for block in got] == [f"{epoch}.{n}" for n in (1, 2, 3)]
        assert ID.fullmatch(reader.start)


def test_the_first_bytes_come_at_once_with_the_retry_time(system: System) -> None:
    response = system.person().send("GET", "/feed/stream")
    body: Any = response.response
    first = next(iter(body))
    assert re.fullmatch(rb": quartet\nretry: 2000\nid: [0-9a-f]{16}\.0\n\n", first)
    response.close()


@pytest.mark.parametrize("by_query", [False, True])
def test_reconnecting_gets_exactly_the_missed_events(system: System, by_query: bool) -> None:  # noqa: FBT001
    ada = system.person()
    with closing(Reader(ada)) as reader:
        publish(system, ada, *range(5))
        ids = [reader.start, *(block.id for block in reader.events(5))]
    publish(system, ada, *range(5, 40))
    for seen, last_id in enumerate(ids):
        again = Reader(ada, last_event_id=last_id) if by_query else Reader(ada, last_id)
        with closing(again):
            assert again.start == last_id
            assert numbers(again.events(40 - seen)) == [str(n) for n in range(seen, 40)]


@pytest.mark.parametrize(
    "last_id", ["", "x", "0.0", "0123456789abcdef.3", "..", "a.-1", "a.1e3", "a.\u0661", "f" * 900]
)
def test_an_invalid_id_gets_one_resync_and_then_continues(system: System, last_id: str) -> None:
    ada = system.person()
    with closing(Reader(ada)) as first:
        publish(system, ada, "before")
        first.events(1)
        with closing(Reader(ada, last_event_id=last_id)) as reader:
            [resync] = reader.events(1)
            assert (resync.name, resync.fields["data"]) == ("resync", "{}")
            publish(system, ada, "after")
            assert numbers(reader.events(1)) == ["after"]
        with closing(Reader(ada, resync.id)) as again:
            assert numbers(again.events(1)) == ["after"]


def test_the_id_of_another_account_or_the_future_gets_a_resync(system: System) -> None:
    ada, bob = system.person(), system.person()
    with closing(Reader(ada)) as hers, closing(Reader(bob)) as his:
        for bad in (his.start, hers.start.replace(".0", ".7")):
            with closing(Reader(ada, bad)) as reader:
                assert [block.name for block in reader.events(1)] == ["resync"]


def test_a_reader_behind_the_kept_events_gets_one_resync(system: System) -> None:
    ada = system.person()
    with closing(Reader(ada)) as reader:
        start = reader.start
    publish(system, ada, *range(KEPT + 1))
    with closing(Reader(ada, start)) as reader:
        publish(system, ada, "last")
        got = reader.events(1)
        assert got[0].name == "resync"
        if got[0].id.endswith(f".{KEPT + 1}"):
            assert numbers(reader.events(1)) == ["last"]
    with closing(Reader(ada, start.replace(".0", ".2"))) as reader:
        assert numbers(reader.events(KEPT)) == [*(str(n) for n in range(2, KEPT + 1)), "last"]


def test_a_slow_reader_holds_one_batch_and_loses_nothing_that_is_kept(system: System) -> None:
    ada = system.person()
    live = system.container.live.hub
    with closing(Reader(ada)) as slow, closing(Reader(ada)) as quick:
        publish(system, ada, *range(KEPT))
        assert len(quick.events(KEPT)) == KEPT
        [held] = [len(c._batch) for c in live._open if c._batch]
        assert 1 <= held <= FAST.batch
        publish(system, ada, *range(KEPT, KEPT + 100))
        quick.events(100)
        got = slow.events(held + 1)
        assert numbers(got) == [*(str(n) for n in range(held)), "resync"]
        publish(system, ada, "fresh")
        assert numbers(slow.events(1)) == ["fresh"]


def test_heartbeats_are_sent_without_events(system: System) -> None:
    with closing(Reader(system.person())) as reader:
        began = time.monotonic()
        assert [reader.block().fields for _ in range(3)] == [{}, {}, {}]
        assert time.monotonic() - began >= 2.9 * HEARTBEAT.total_seconds()


def test_data_with_line_breaks_is_one_event(system: System) -> None:
    ada = system.person()
    with closing(Reader(ada)) as reader:
        event = LiveEvent("k", "notification", b'{"a":\r\n1,\n"b":\r2}')
        system.container.stores.streams.append([UUID(ada.account["id"])], event)
        [got] = reader.events(1)
        assert json.loads(got.fields["data"]) == {"a": 1, "b": 2}


def test_a_stream_ends_with_its_session(system: System) -> None:
    ada = system.person()
    other = replace(ada, token=system.anybody().post("/sessions", signing(ada))["token"])
    with closing(Reader(ada)) as hers, closing(Reader(other)) as elsewhere:
        ada.delete("/sessions")
        elsewhere.end()
        publish(system, ada, "still there")
        assert numbers(hers.events(1)) == ["still there"]
        ada.delete("/sessions/current")
        hers.end()
    assert ada.send("GET", "/feed/stream").status_code == 401


def test_a_stream_ends_after_its_lifetime_and_the_next_continues(make: Make) -> None:
    system = make(structs.replace(FAST, life=timedelta(seconds=0.2)))
    ada = system.person()
    with closing(Reader(ada)) as reader:
        start = reader.start
        reader.end()
    publish(system, ada, "meanwhile")
    with closing(Reader(ada, start)) as reader:
        assert numbers(reader.events(1)) == ["meanwhile"]


def test_closing_ends_every_stream_and_refuses_the_next(system: System) -> None:
    ada = system.person()
    readers = [Reader(ada) for _ in range(3)]
    system.container.live.hub.close()
    for reader in readers:
        reader.end()
        reader.close()
    assert ada.get("/feed/stream", 503)["code"] == "stopping"


class UnavailableStreams:
    """Streams that are unavailable while `away` is set."""

    def __init__(self, inner: Streams) -> None:
        self._inner = inner
        self.away = threading.Event()

    def __getattr__(self, name: str) -> Any:
        if self.away.is_set():
            raise Unavailable("cache", "away")
        return getattr(self._inner, name)


def test_an_unavailable_store_loses_no_stream_and_no_kept_event(system: System, make: Make) -> None:
    streams = UnavailableStreams(system.container.stores.streams)
    system = make(streams=cast("Streams", streams))
    ada = system.person()
    with closing(Reader(ada)) as reader:
        streams.away.set()
        assert [reader.block().fields for _ in range(2)] == [{}, {}]
        assert ada.get("/feed/stream", 503)["code"] == "store_unavailable"
        streams.away.clear()
        publish(system, ada, "back")
        assert numbers(reader.events(1)) == ["back"]


def test_a_stream_lost_by_the_store_gets_one_resync(system: System) -> None:
    ada = system.person()
    with closing(Reader(ada)) as reader:
        forget(system, ada)
        [resync] = reader.events(1)
        assert resync.name == "resync"
        assert resync.id.split(".")[0] != reader.start.split(".")[0]
        publish(system, ada, "new")
        assert numbers(reader.events(1)) == ["new"]


def forget(system: System, person: Person) -> None:
    streams: Any = system.container.stores.streams
    with streams._database.write() as connection:
        connection.execute("DELETE FROM hot_streams WHERE account_id = ?", (UUID(person.account["id"]).bytes,))


def test_an_open_stream_keeps_its_account_a_listener(make: Make) -> None:
    system = make(structs.replace(FAST, prolong=timedelta(seconds=0.05)))
    ada = system.person()
    streams, place = system.container.stores.streams, UUID(ada.account["id"]).bytes
    with closing(Reader(ada)):
        before = expiry(streams, place)
        assert wait_until(lambda: expiry(streams, place) > before, 5)


def expiry(streams: Any, place: bytes) -> float:
    [(moment,)] = streams._database.rows("SELECT expires_at FROM hot_streams WHERE account_id = ?", (place,))
    return float(moment)


def test_a_stream_needs_a_session(system: System) -> None:
    assert system.anybody().get("/feed/stream", 401)["code"] == "unauthenticated"
    assert system.person().get("/feed/stream", 400, nonsense=uuid4().hex)["code"]


def test_every_event_conforms_to_the_document(system: System) -> None:
    ada, bob = system.person(), system.person()
    with closing(Reader(ada, "unknown.1")) as reader:
        bob.put(f"/accounts/{ada.handle}/follow")
        post = ada.publish()
        system.relay.drain()
        ada.delete(f"/posts/{post}", etag="*")
        system.relay.drain()
        got = {block.name: block for block in reader.events(4)}
    assert set(got) == set(EVENTS)
    schemas = DOCUMENT["components"]["schemas"]
    for name, block in got.items():
        assert set(block.fields) == {"id", "event", "data"}
        data = schemas[f"{name.capitalize()}Event"]["properties"]["data"]
        assert not misfits(json.loads(block.fields["data"]), data["contentSchema"])
