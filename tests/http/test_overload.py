"""The answer to a request that gets no thread, compared with Flask's answer for the same error."""

import sys
from collections.abc import Iterator
from functools import partial

import pytest
from structlog.testing import capture_logs
from werkzeug.test import Client, TestResponse

from app.http.edge.overload import DETAIL, SWITCH_SECONDS, Refusal, spared
from app.server.bodies import FULL, WITHOUT
from app.server.gate import CROWDED
from config import Settings
from tests.apps import BASE, System, embedded, running
from tests.engines.kernel import wait_until
from tests.http.test_metrics import value

ORIGIN = "https://app.example.com"
ID = "an-id-of-the-client"
# Reasons of a refusal that no other server in this process uses.
REASONS = ("one", "another")
# A field that only Flask can compute, and one that differs with every answer.
FREE = {"Cache-Status", "Server-Timing"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path_factory.mktemp("overload")), cors_origins=ORIGIN)) as found:
        yield found


def refused(system: System, method: str, path: str, headers: dict[str, str]) -> TestResponse:
    refusal = Refusal(system.app, switch=lambda _: None)
    client = Client(lambda environ, start: refusal(environ, start, CROWDED))
    return client.open(path, method=method, headers=headers)


def fields(answer: TestResponse) -> list[tuple[str, str]]:
    return sorted(field for field in answer.headers if field[0] not in FREE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("origin", [None, ORIGIN, "https://elsewhere.example.com"])
def test_it_equals_the_503_of_the_application(system: System, method: str, origin: str | None) -> None:
    headers = {"X-Request-Id": ID} | ({"Origin": origin} if origin else {})
    quick = refused(system, method, f"{BASE}/posts", headers)
    own = system.app.test_client().open(
        f"{BASE}/posts", method=method, headers=headers, environ_overrides={WITHOUT: FULL}
    )
    assert quick.status == own.status == "503 SERVICE UNAVAILABLE"
    assert quick.headers["Retry-After"] == "1"
    if method != "HEAD":
        assert quick.get_json() == own.get_json() | {"detail": DETAIL}
        assert (quick.get_json()["code"], quick.get_json()["request_id"]) == ("overloaded", ID)
    without_length = [[field for field in fields(one) if field[0] != "Content-Length"] for one in (quick, own)]
    assert without_length[0] == without_length[1]


def test_refusals_are_counted_and_logged_together(system: System) -> None:
    refusal = Refusal(system.app, gathered_seconds=3600, switch=lambda _: None)
    before = {reason: value(system, "requests_refused_total", reason=reason) for reason in REASONS}
    for reason in (*REASONS, REASONS[0]):
        Client(partial(refusal, reason=reason)).get("/")
    with capture_logs() as lines:
        refusal.report()
    after = {reason: value(system, "requests_refused_total", reason=reason) for reason in REASONS}
    assert after == {REASONS[0]: before[REASONS[0]] + 2, REASONS[1]: before[REASONS[1]] + 1}
    assert {line["reason"]: line["refused"] for line in lines} == {REASONS[0]: 2, REASONS[1]: 1}


def test_the_switch_interval_is_longer_while_requests_are_refused(system: System) -> None:
    said: list[float] = []
    refusal = Refusal(system.app, gathered_seconds=0.01, calm_seconds=0.01, switch=said.append)
    for number in (1, 2):
        Client(partial(refusal, reason=REASONS[0])).get("/")
        assert wait_until(lambda number=number: len(said) == 2 * number, 30)  # type: ignore[misc]
    assert said == [SWITCH_SECONDS, sys.getswitchinterval()] * 2
    assert sys.getswitchinterval() < SWITCH_SECONDS


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", f"{BASE}/feed/stream"])
def test_spared_paths_are_routes(system: System, path: str) -> None:
    assert spared({"PATH_INFO": path})
    assert system.app.test_client().get(path).status_code in {200, 401}
    assert not spared({"PATH_INFO": f"{path}/more"})
