"""Three members of a replica set of MongoDB below the whole application, with writers and readers, while members die,
freeze, step down and come back. Run by `make test-clusters`, which writes the rows to `docs/outages.md`.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from msgspec import Struct
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from config import Settings
from tests.apps import Person, System, embedded, running
from tests.engines import Server, mongo
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.engines.slack import SLACK
from tests.system.outages.table import written

WRITERS = 4
BEFORE, AFTER = 40, 40  # writes that are acknowledged before the fault, and after the members are back
# Of `launch_set`; the goal is one second more.
ELECTION = 3.0
DEADLINE = 5.1
Members = list[Server]
Mend = Callable[[], None]


class Write(Struct):
    """A post: `began` and `ended` by the monotonic clock, `stale` where its author could not read it at once."""

    title: str
    key: str
    began: float
    ended: float = 0.0
    status: int = 0
    stale: bool = False


class Traffic:
    """Writers who publish one post after the other and read each; what was answered otherwise than promised."""

    def __init__(self, system: System) -> None:
        self._people = [system.person() for _ in range(WRITERS)]
        self._stop = threading.Event()
        self.writes: list[Write] = []
        self.amiss: list[str] = []
        self._threads = [threading.Thread(target=self._write_on, args=(person,)) for person in self._people]
        for thread in self._threads:
            thread.start()

    def acknowledged(self, since: float = 0.0) -> list[Write]:
        return [write for write in list(self.writes) if write.status == 201 and write.began > since]

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def settle(self) -> int:
        """Send once more what was not acknowledged, with its key. Returns how much of it there was."""
        unknown = [write for write in self.writes if write.status != 201]
        for write in unknown:
            person = self._by(write)
            assert send(person, write).status_code == 201
        return len(unknown)

    def found(self) -> Counter[str]:
        """How often each title is there."""
        titles: Counter[str] = Counter()
        for person in self._people:
            cursor: dict[str, Any] = {}
            while True:
                page = person.get(f"/accounts/{person.handle}/posts", limit=100, **cursor)
                titles.update(item["post"]["title"] for item in page["items"])
                if page["next"] is None:
                    break
                cursor = {"cursor": page["next"]}
        return titles

    def _by(self, write: Write) -> Person:
        return next(person for person in self._people if write.title.startswith(f"{person.handle} "))

    def _write_on(self, person: Person) -> None:
        while not self._stop.is_set():
            write = Write(f"{person.handle} {uuid4()}", str(uuid4()), monotonic())
            answer = send(person, write)
            write.ended, write.status = monotonic(), answer.status_code
            if answer.status_code == 201:
                path = f"/posts/{answer.get_json()['post']['id']}"
                write.stale = person.send("GET", path).status_code == 404
            elif answer.status_code != 503 or "Retry-After" not in answer.headers:
                self.amiss.append(answer.get_data(as_text=True))
            self.writes.append(write)


def send(person: Person, write: Write) -> Any:
    body = {"title": write.title, "body": "Words."}
    return person.send("POST", "/posts", json=body, headers={"Idempotency-Key": write.key})


def killed(members: Members) -> Mend:
    one = mongo.primary(members)
    one.kill()
    return one.restart


def frozen(members: Members) -> Mend:
    one = mongo.primary(members)
    one.pause()
    return one.resume


def stepped_down(members: Members) -> Mend:
    host = urlsplit(members[0].url).netloc.split(",")[members.index(mongo.primary(members))]
    # It may say so by hanging up.
    with MongoClient[Any](f"mongodb://{host}", directConnection=True) as client, contextlib.suppress(AutoReconnect):
        client.admin.command("replSetStepDown", 10)
    return lambda: None


def without_majority(members: Members) -> Mend:
    """Both secondaries are killed; they are back when the primary has noticed that it is none any more."""
    writer = mongo.primary(members)
    others = [member for member in members if member is not writer]
    for member in others:
        member.kill()

    def back() -> None:
        for member in others:
            member.restart()

    return back


FAULTS = {
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
def rows() -> Iterator[dict[str, list[object]]]:
    """Is filled by the tests, and written down where the environment says so."""
    found: dict[str, list[object]] = {}
    yield found
    wanted = os.environ.get("QUARTET_OUTAGES")
    if wanted and found.keys() == FAULTS.keys():
        head = "| fault | writes again after, s | acknowledged | lost | doubled | stale | 503 | slowest answer, s |"
        lines = [head, "|---" * 8 + "|", *(f"| {name} | {' | '.join(map(str, row))} |" for name, row in found.items())]
        page = Path(wanted)
        page.write_text(written(page.read_text(encoding="utf-8"), "mongodb", "\n".join(lines)), encoding="utf-8")


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost_and_nothing_done_twice(
    members: Members, system: System, rows: dict[str, list[object]], fault: str
) -> None:
    assert wait_until(lambda: mongo.complete(members), 60)
    traffic = Traffic(system)
    try:
        assert wait_until(lambda: len(traffic.acknowledged()) >= BEFORE, 60)
        mend = FAULTS[fault](members)
        struck = monotonic()
        if fault.startswith("both"):
            assert wait_until(lambda: any(write.status == 503 for write in list(traffic.writes)), 60)
            struck = monotonic()
            mend()
        assert wait_until(lambda: bool(traffic.acknowledged(struck)), 60)
        if not fault.startswith("both"):
            mend()
        back = monotonic()
        assert wait_until(lambda: len(traffic.acknowledged(back)) >= AFTER, 60)
    finally:
        traffic.end()
    assert wait_until(lambda: mongo.complete(members), 60)
    writes, acknowledged = traffic.writes, traffic.acknowledged()
    again = min(write.ended for write in traffic.acknowledged(struck)) - struck
    refused = traffic.settle()
    found = traffic.found()
    lost = sum(found[write.title] == 0 for write in acknowledged)
    doubled = sum(count > 1 for count in found.values())
    stale = sum(write.stale for write in acknowledged)
    slowest = max(write.ended - write.began for write in writes)
    rows[fault] = [f"{again:.1f}", len(acknowledged), lost, doubled, stale, refused, f"{slowest:.2f}"]
    assert (lost, doubled, stale, traffic.amiss) == (0, 0, 0, [])
    assert found.keys() == {write.title for write in writes}
    assert slowest < DEADLINE + SLACK
    assert again < ELECTION + 1 + DEADLINE + SLACK
