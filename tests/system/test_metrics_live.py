"""A server's metrics include all its processes, and disappear when the processes end."""

import http.client
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.apps import ROLES, running
from tests.engines.kernel import Process, free_port, wait_until
from tests.recorded import receiver
from tests.system.live import HOST, Live, migrated

pytestmark = pytest.mark.live
PATIENCE = 20.0
LIVE = "/health/live"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated(tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Live]:
    live = Live(folder, WORKERS="2").answering()
    yield live
    live.close()


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


def total(text: str, name: str, **labels: str) -> float:
    """The sum of the series that have these labels."""
    lines = re.findall(rf"^quartet_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(float(value) for given, value in lines if wanted <= set(given.split(",")))


def test_each_scrape_sees_the_answers_of_all_workers(server: Live) -> None:
    before = total(scraped(server.port), "http_requests_total", route=LIVE)

    def ask(_: int) -> int:
        client = server.client()
        return client.send("GET", LIVE).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(100))) == {200}
    found = {total(scraped(server.port), "http_requests_total", route=LIVE) for _ in range(20)}
    assert found == {before + 100}


def test_the_servers_metrics_include_the_inline_relay(server: Live) -> None:
    ada = server.person()
    ada.publish("A post")
    assert wait_until(lambda: total(scraped(server.port), "outbox_unsent") == 0, PATIENCE)
    claims = total(scraped(server.port), "store_call_seconds_count", store="documents", operation="write")
    assert claims > 1


def test_a_worker_that_was_killed_keeps_its_counts_and_loses_its_gauges(server: Live) -> None:
    for _ in range(20):
        server.client().send("GET", LIVE)
    victim = server.workers[0]
    directory = shared_directory(victim)

    def gauges() -> list[Path]:
        return list(directory.glob(f"gauge_live*_{victim.pid}.db"))

    assert wait_until(lambda: bool(gauges()), PATIENCE)
    before = total(scraped(server.port), "http_requests_total", route=LIVE)
    victim.send(signal.SIGKILL)
    assert wait_until(lambda: serves(server) and bool(scraped_or_nothing(server.port)) and not gauges(), PATIENCE)
    assert total(scraped(server.port), "http_requests_total", route=LIVE) >= before


def test_the_shared_files_are_removed_with_the_server(server: Live) -> None:
    directory = shared_directory(server.workers[0])
    assert list(directory.iterdir())
    server.terminate()
    assert server.ended(PATIENCE) == 0
    assert not directory.exists()


def test_an_external_relay_serves_its_own_metrics_where_it_has_a_port(folder: Path) -> None:
    port = free_port()
    with receiver() as collector:
        traced = {"TRACES_URL": f"http://{HOST}:{collector.port}"}
        relay = Live(folder, "relay", RELAY="external", RELAY_METRICS_PORT=str(port), **traced)
        try:
            assert wait_until(lambda: asked(scraped_or_nothing(port)) > 0, PATIENCE), relay.output
            file = f"sqlite:///{folder}/var/quartet.db"
            urls: dict[str, Any] = {f"{role}_url": file for role in ROLES}
            with running(Settings(**urls)) as system:
                system.person().publish()
            assert wait_until(lambda: 'trace_id="' in opened(port), PATIENCE), relay.output
            relay.terminate()
            assert relay.ended(PATIENCE) == 0
        finally:
            relay.close()


def asked(text: str) -> float:
    return total(text, "store_call_seconds_count", store="relational")


def shared_directory(worker: Process) -> Path:
    """The folder with the metric files of a worker."""
    mapped = (line.split() for line in Path(f"/proc/{worker.pid}/maps").read_text().splitlines())
    (found,) = {Path(fields[-1]).parent for fields in mapped if "/quartet-metrics-" in fields[-1]}
    return found


def serves(server: Live) -> bool:
    try:
        return server.client().send("GET", LIVE).status == 200
    except (OSError, http.client.HTTPException):
        return False


def scraped_or_nothing(port: int) -> str:
    try:
        return scraped(port)
    except OSError:
        return ""


def test_a_separate_address_serves_metrics_and_exemplars_of_all_processes(folder: Path) -> None:
    port = free_port()
    with receiver() as collector:
        settings = {"METRICS_ADDRESS": f"{HOST}:{port}", "TRACES_URL": f"http://{HOST}:{collector.port}"}
        server = Live(folder, WORKERS="2", **settings).answering()
        try:
            for _ in range(10):
                server.client().send("GET", "/tags")
            assert total(scraped(port), "http_requests_total", route="/api/v1/tags") == 10
            assert total(scraped(port), "store_up") == 5
            assert wait_until(lambda: bool(EXEMPLAR.search(opened(port))), PATIENCE)
            with pytest.raises(urllib.error.HTTPError, match="404"):
                scraped(server.port)
            server.terminate()
            assert server.ended(PATIENCE) == 0
        finally:
            server.close()
    assert {span.name for span in collector.story} >= {"GET /api/v1/tags"}


EXEMPLAR = re.compile(r'^quartet_http_request_seconds_bucket.* # \{trace_id="[0-9a-f]{32}"\}', re.MULTILINE)


def opened(port: int) -> str:
    """The metrics in the OpenMetrics format, which has exemplars."""
    asked = urllib.request.Request(f"http://{HOST}:{port}/metrics", headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310  our own server
        return str(answer.read(), "utf-8")
