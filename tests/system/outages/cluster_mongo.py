"""The whole application on a MongoDB replica set of three, with writers and readers, while members die, freeze, step
down and come back. Run by `make test-clusters`, which writes the rows to `docs/outages.md`.
"""

import contextlib
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from config import Settings
from tests.apps import System, embedded, running
from tests.engines import Server, mongo
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.engines.slack import SLACK
from tests.system.outages.traffic import AFTER, DEADLINE, PATIENCE, WRITERS, Posts, Row, Traffic, rows_of

# Seconds: the election timeout that `launch_set` sets. The goal is one second more.
ELECTION = 3.0
Members = list[Server]


def killed(members: Members, traffic: Traffic) -> float:
    one = mongo.primary(members)
    one.kill()
    failed_at = monotonic()
    traffic.goes_on(failed_at)
    one.restart()
    return failed_at


def frozen(members: Members, traffic: Traffic) -> float:
    one = mongo.primary(members)
    one.pause()
    failed_at = monotonic()
    traffic.goes_on(failed_at)
    one.resume()
    return failed_at


def stepped_down(members: Members, traffic: Traffic) -> float:
    host = urlsplit(members[0].url).netloc.split(",")[members.index(mongo.primary(members))]
    # The server may close the connection instead of answering.
    with MongoClient[Any](f"mongodb://{host}", directConnection=True) as client, contextlib.suppress(AutoReconnect):
        client.admin.command("replSetStepDown", 10)
    failed_at = monotonic()
    traffic.goes_on(failed_at)
    return failed_at


def without_majority(members: Members, traffic: Traffic) -> float:
    """Kill both secondaries, and restart them once the primary has stepped down for lack of a majority."""
    writer = mongo.primary(members)
    others = [member for member in members if member is not writer]
    for member in others:
        member.kill()
    traffic.is_refused()
    for member in others:
        member.restart()
    failed_at = monotonic()
    traffic.goes_on(failed_at)
    return failed_at


FAULTS: dict[str, Callable[[Members, Traffic], float]] = {
    "primary killed": killed,
    "primary frozen, then let go": frozen,
    "primary steps down": stepped_down,
    "both secondaries killed, then back": without_majority,
}


@pytest.fixture(scope="module")
def members() -> Iterator[Members]:
    home = Home()
    servers = mongo.launch_set(home, 3)
    yield servers
    for server in servers:
        server.discard()
    home.close()


@pytest.fixture(scope="module")
def system(members: Members, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    urls = embedded(tmp_path_factory.mktemp("cluster")) | {"documents_url": members[0].url}
    with running(Settings(**urls, threads=2 * WRITERS)) as found:
        yield found


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Row]]:
    with rows_of("mongodb", FAULTS) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost_and_nothing_done_twice(
    members: Members, system: System, rows: dict[str, Row], fault: str
) -> None:
    assert wait_until(lambda: mongo.complete(members), PATIENCE)
    with Traffic(system, Posts()) as traffic:
        failed_at = FAULTS[fault](members, traffic)
        traffic.goes_on(monotonic(), AFTER)
    assert wait_until(lambda: mongo.complete(members), PATIENCE)
    row = rows[fault] = traffic.row(failed_at)
    assert row.again < ELECTION + 1 + DEADLINE + SLACK
