"""The whole application on three Cassandra nodes, each with all of the data, while people publish and read feeds.

Run by `make test-clusters`, which writes the rows to `docs/outages.md`.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from config import Settings
from repositories.errors import StoreError
from tests.apps import Person, System, embedded, running
from tests.engines import Server
from tests.engines.answering import works
from tests.engines.cluster_cassandra import opened, ring
from tests.engines.kernel import wait_until
from tests.system.outages.traffic import AFTER, PATIENCE, WRITERS, Kind, Row, Traffic, Write, rows_of, titles

__all__ = ["ring"]
Nodes = list[Server]


class Feeds(Kind):
    """Posts: each must be in its author's own feed at once, and there exactly once in the end. Before each post comes a
    write that needs Cassandra's acknowledgement, since posts do not.
    """

    again = True

    def send(self, write: Write) -> Any:
        marked = write.person.send("POST", "/notifications/read", headers={"Idempotency-Key": f"read-{write.key}"})
        if marked.status_code != 200:
            return marked
        body = {"title": write.name, "body": "Words."}
        return write.person.send("POST", "/posts", json=body, headers={"Idempotency-Key": write.key})

    def is_stale(self, write: Write, answer: Any) -> bool:
        page = write.person.send("GET", "/feed", query_string={"limit": 50})
        found = [item["post"]["title"] for item in page.get_json().get("items", [])]
        return answer.status_code == 201 and page.status_code == 200 and write.name not in found

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        known = {write.name for write in writes}
        return (title for title in titles(person, "/feed") if title in known)


def killed(nodes: Nodes, traffic: Traffic) -> float:
    nodes[0].kill()
    failed_at = monotonic()
    traffic.goes_on(failed_at, AFTER)
    nodes[0].restart()
    return failed_at


def frozen(nodes: Nodes, traffic: Traffic) -> float:
    """Freeze each node once, and so also the one that most requests go to."""
    failed_at = monotonic()
    for node in nodes:
        node.pause()
        traffic.goes_on(monotonic(), AFTER)
        node.resume()
    return failed_at


def two_frozen(nodes: Nodes, traffic: Traffic) -> float:
    """Freeze two nodes. The time is measured from when there is a quorum again."""
    for node in nodes[:2]:
        node.pause()
    traffic.is_refused()
    nodes[0].resume()
    failed_at = monotonic()
    traffic.goes_on(failed_at, AFTER)
    nodes[1].resume()
    return failed_at


def two_killed(nodes: Nodes, traffic: Traffic) -> float:
    for node in nodes[:2]:
        node.kill()
    traffic.is_refused()
    nodes[0].restart()
    failed_at = monotonic()
    traffic.goes_on(failed_at, AFTER)
    nodes[1].restart()
    return failed_at


FAULTS: dict[str, Callable[[Nodes, Traffic], float]] = {
    "one node killed": killed,
    "each node frozen in turn": frozen,
    "two of three nodes frozen, then one let go": two_frozen,
    "two of three nodes killed, then one back": two_killed,
}
STARTED = "process started while a node is frozen"


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Row]]:
    with rows_of("cassandra", [*FAULTS, STARTED]) as found:
        yield found


@pytest.fixture
def nodes(ring: Nodes) -> Iterator[Nodes]:
    """The nodes, all running; restored after the test."""
    yield ring
    for node in ring:
        if not node.running:
            node.restart()
        node.resume()
    with closing(opened(ring[0].url)) as store:
        assert wait_until(lambda: works(store.ping) and store.notes() == [], PATIENCE)


@contextmanager
def relaying(system: System) -> Iterator[None]:
    """Run the relay until the block ends, and then until no event waits."""
    stop, outbox = threading.Event(), system.container.stores.documents.outbox

    def drained() -> bool:
        with suppress(StoreError):
            system.relay.drain()
        return outbox.backlog().unsent == 0

    def relay() -> None:
        while not stop.wait(0.02):
            drained()

    thread = threading.Thread(target=relay)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert wait_until(drained, PATIENCE)


@pytest.fixture
def settings(nodes: Nodes, tmp_path: Path) -> Settings:
    """Settings with migrated tables, in the keyspace that all tests of the ring share."""
    made = Settings(
        **embedded(tmp_path) | {"feeds_url": nodes[0].url, "feeds_replication": "3", "threads": 2 * WRITERS}
    )
    with running(made):
        return made


@pytest.mark.parametrize("fault", FAULTS)
def test_feeds_have_each_post_once_whatever_node_fails(
    nodes: Nodes, settings: Settings, rows: dict[str, Row], fault: str
) -> None:
    with running(settings) as system:
        with relaying(system), Traffic(system, Feeds()) as traffic:
            failed_at = FAULTS[fault](nodes, traffic)
            traffic.goes_on(monotonic(), AFTER)
        rows[fault] = traffic.row(failed_at)


def test_a_process_that_is_started_while_a_node_is_frozen_serves(
    nodes: Nodes, settings: Settings, rows: dict[str, Row]
) -> None:
    nodes[0].pause()
    failed_at = monotonic()
    with running(settings) as system:
        with relaying(system), Traffic(system, Feeds()) as traffic:
            pass
        rows[STARTED] = traffic.row(failed_at)
