"""A real server sends the spans of its processes to a real OTLP receiver."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.engines.kernel import free_port, wait_until
from tests.receiver import Receiver as Consumer
from tests.receiver import receiving
from tests.recorded import Receiver, receiver
from tests.system.live import HOST, Live, migrated
from tests.system.relay.operator import PATH, TOKEN
from tests.system.traced import PATIENCE, TRACE, tell, told

pytestmark = pytest.mark.live


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    with receiving() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated(tmp_path)
    return tmp_path


def test_the_trace_of_a_post_has_spans_of_several_processes(
    folder: Path, collector: Receiver, consumer: Consumer
) -> None:
    """Workers answer the author and the follower; the main process runs the relay, also for a receiver of webhooks."""
    hooks = {"WEBHOOKS_TOKEN": TOKEN, "WEBHOOKS_NETWORKS": "127.0.0.0/8"}
    live = Live(folder, WORKERS="2", TRACES_URL=f"http://127.0.0.1:{collector.port}", **hooks).answering()
    try:
        with_token = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        hook = json.dumps({"url": consumer.url, "types": ["quartet.post.published.v1"]}).encode()
        urlopen(Request(f"http://{HOST}:{live.port}{PATH}", hook, with_token), timeout=PATIENCE).close()
        page = tell(live)
        assert wait_until(lambda: bool(consumer.posted), PATIENCE)
        assert re.search(f'traceparent;desc="00-{TRACE}-[0-9a-f]{{16}}-01"', page.headers["server-timing"])
        live.terminate()
        assert live.ended(PATIENCE) == 0, live.output
    finally:
        live.close()
    found = told(collector.story)
    sent = collector.story.one("send events")
    assert (sent.kind, sent.links) == ("CLIENT", [found.link])
    assert sent.trace not in {TRACE, found.batch}, "a batch has events of several traces, and so a trace of its own"
    [post] = consumer.posted
    assert post.headers["traceparent"] == post.event["traceparent"] == found.traceparent
    assert found.processed.resource["service.name"] == "quartet"
    assert found.processed.resource["service.version"]
    of_processes = {one.resource["service.instance.id"] for one in (found.published, found.processed, sent)}
    assert len(of_processes) == 2, "the relay runs in another process than the request"
    lines = [json.loads(line) for line in live.output.splitlines() if line.startswith("{")]
    traced = [line["event"] for line in lines if line.get("trace_id") == TRACE]
    assert traced.count("request") == 2
    assert "delivered" in traced


def test_an_unreachable_collector_delays_neither_requests_nor_shutdown(folder: Path) -> None:
    live = Live(folder, WORKERS="1", TRACES_URL=f"http://127.0.0.1:{free_port()}").answering()
    try:
        ada = live.person()
        ada.publish("A post")
        assert wait_until(lambda: ada.titles("/feed") == ["A post"], PATIENCE)
        live.terminate()
        assert live.ended(PATIENCE) == 0, live.output
    finally:
        live.close()
