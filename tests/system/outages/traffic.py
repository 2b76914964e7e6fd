"""Writers and readers of a whole system while servers of one store fail, and the fate of every acknowledged write.

Each engine has a file `cluster_*.py` with its faults. `make test-clusters` runs them, and writes their rows to
`docs/outages.md`.
"""

import os
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, Self
from uuid import uuid4

from msgspec import Struct

from tests.apps import Person, System
from tests.engines.kernel import wait_until
from tests.engines.slack import SLACK
from tests.system.outages.table import written

WRITERS = 4
# The numbers of acknowledged writes before the fault, and after all servers are back.
BEFORE, AFTER = 40, 40
DEADLINE = 5.1
PATIENCE = 90
# 409 is `idempotency_key_in_flight`: a failover has lost the claim of a deposit between its two transactions.
TOLD_TO_TRY_AGAIN = (409, 503)
HEAD = "| fault | writes again after, s | acknowledged | lost | doubled | stale | revoked | 503 | slowest answer, s |"


class Write(Struct):
    """One write of a person. `began` and `ended` are by the monotonic clock; `status` is 0 while there is no answer."""

    person: Person
    name: str
    key: str
    began: float
    ended: float = 0.0
    status: int = 0
    # `stale`: acknowledged, but its author could not read it at once. `revived`: it was ended, but works again.
    stale: bool = False
    revived: bool = False


class Kind(Protocol):
    """A kind of writes. With `again`, unacknowledged writes are repeated with their key, and must then exist once."""

    again: bool

    def send(self, write: Write) -> Any:
        """Send the write; success is 2xx."""

    def is_stale(self, write: Write, answer: Any) -> bool:
        """Read an acknowledged write; whether it is missing. A 503 does not count."""

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        """The names of existing writes, each as often as it exists."""


class Traffic:
    """Writers that continuously write and read back each write."""

    def __init__(self, system: System, kind: Kind) -> None:
        self._people = [system.person() for _ in range(WRITERS)]
        self._kind = kind
        self._stop = threading.Event()
        self.writes: list[Write] = []
        self.amiss: list[str] = []
        self._threads = [threading.Thread(target=self._keep_writing, args=(person,)) for person in self._people]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.goes_on(0.0, BEFORE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def acknowledged(self, since: float = 0.0) -> list[Write]:
        return [write for write in list(self.writes) if 200 <= write.status < 300 and write.began > since]

    def goes_on(self, since: float, number: int = 1) -> None:
        """Wait until `number` writes that began after `since` are acknowledged."""
        assert wait_until(lambda: len(self.acknowledged(since)) >= number, PATIENCE)

    def is_refused(self) -> None:
        """Wait until a new write is answered with a 503."""
        before = len(self.writes)
        assert wait_until(lambda: any(write.status == 503 for write in list(self.writes)[before:]), PATIENCE)

    def row(self, failed_at: float, *, lost: int = 0) -> "Row":
        """The result, after the writers have ended. Asserts that at most `lost` acknowledged writes are missing."""
        refused = [write for write in self.writes if write.status == 503]
        if self._kind.again:
            for write in (write for write in self.writes if write.status in TOLD_TO_TRY_AGAIN):
                assert wait_until(lambda write=write: self._kind.send(write).status_code < 300, PATIENCE)  # type: ignore[misc]
        found: Counter[str] = Counter()
        for person in self._people:
            found.update(self._kind.found(person, [write for write in self.writes if write.person is person]))
        row = Row(
            again=min(write.ended for write in self.acknowledged(failed_at)) - failed_at,
            acknowledged=len(self.acknowledged()),
            lost=sum(not found[write.name] for write in self.acknowledged()),
            doubled=sum(count > 1 for count in found.values()),
            # A write that was lost before its author could read it only counts as lost.
            stale=sum(write.stale and found[write.name] > 0 for write in self.writes),
            revoked=sum(write.revived for write in self.writes),
            refused=len(refused),
            slowest=max(write.ended - write.began for write in self.writes),
        )
        assert self.amiss == [], self.amiss[:3]
        assert (row.doubled, row.stale, row.revoked) == (0, 0, 0), row
        assert row.lost <= lost, row
        assert row.slowest < DEADLINE + SLACK, row
        if self._kind.again and not lost:
            assert found.keys() >= {write.name for write in self.writes}
        return row

    def _keep_writing(self, person: Person) -> None:
        while not self._stop.is_set():
            write = Write(person, str(uuid4()), str(uuid4()), monotonic())
            answer = self._kind.send(write)
            write.ended, write.status = monotonic(), answer.status_code
            if answer.status_code < 300:
                write.stale = self._kind.is_stale(write, answer)
            elif answer.status_code not in TOLD_TO_TRY_AGAIN or "Retry-After" not in answer.headers:
                self.amiss.append(answer.get_data(as_text=True))
            self.writes.append(write)


class Row(Struct):
    again: float
    acknowledged: int
    lost: int
    doubled: int
    stale: int
    revoked: int
    refused: int
    slowest: float

    def cells(self) -> list[str]:
        counts = (self.acknowledged, self.lost, self.doubled, self.stale, self.revoked, self.refused)
        return [f"{self.again:.1f}", *map(str, counts), f"{self.slowest:.2f}"]


class Posts(Kind):
    """Posts: each is read by its id, and in the end in the lists of its author."""

    again = True

    def send(self, write: Write) -> Any:
        body = {"title": write.name, "body": "Words."}
        return write.person.send("POST", "/posts", json=body, headers={"Idempotency-Key": write.key})

    def is_stale(self, write: Write, answer: Any) -> bool:
        return write.person.send("GET", f"/posts/{answer.get_json()['post']['id']}").status_code == 404

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        return titles(person, f"/accounts/{person.handle}/posts")


def titles(person: Person, path: str) -> Iterator[str]:
    """The titles in a list of cards, read page by page."""
    cursor: dict[str, Any] = {}
    while True:
        page = person.get(path, limit=100, **cursor)
        yield from (item["post"]["title"] for item in page["items"])
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


@contextmanager
def rows_of(engine: str, faults: Collection[str]) -> Iterator[dict[str, Row]]:
    """Filled by the tests of an engine. Written to the page that the environment names, if no fault is missing."""
    found: dict[str, Row] = {}
    yield found
    wanted = os.environ.get("QUARTET_OUTAGES")
    if wanted and set(faults) == found.keys():
        page = Path(wanted)
        page.write_text(written(page.read_text(encoding="utf-8"), engine, rendered(found)), encoding="utf-8")


def rendered(rows: Mapping[str, Row]) -> str:
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row.cells())} |" for name, row in rows.items())])
