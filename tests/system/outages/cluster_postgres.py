"""The whole application on a PostgreSQL primary and its standby, with people who make deposits and read them.

Run by `make test-clusters`, which writes the rows to `docs/outages.md`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from config import Settings
from tests.apps import Person, System, embedded, running
from tests.engines.counted import CountingObserver, counted
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.system.outages.postgres_pair import PostgresPair, launched
from tests.system.outages.traffic import AFTER, PATIENCE, WRITERS, Kind, Row, Traffic, Write, rows_of

__all__ = ["counted"]
PARTS = 1 << 30


class Deposits(Kind):
    """Deposits, identified by their amounts."""

    again = True

    def send(self, write: Write) -> Any:
        body = {"amount": {"amount": amount_of(write), "currency": "EUR"}}
        return write.person.keyed("/wallet/deposits", body, write.key)

    def is_stale(self, write: Write, answer: Any) -> bool:
        page = write.person.send("GET", "/wallet/entries", query_string={"limit": 5})
        amounts = [item["amount"]["amount"] for item in page.get_json().get("items", [])]
        return answer.status_code == 201 and page.status_code == 200 and amount_of(write) not in amounts

    def found(self, person: Person, writes: Collection[Write]) -> Iterable[str]:
        names = {amount_of(write): write.name for write in writes}
        cursor: dict[str, Any] = {}
        while True:
            page = person.get("/wallet/entries", limit=100, **cursor)
            yield from (names[item["amount"]["amount"]] for item in page["items"])
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}


def amount_of(write: Write) -> int:
    return int(write.name[:7], 16) % PARTS + 1


def settings(pair: PostgresPair, folder: Path) -> Settings:
    return Settings(**embedded(folder) | {"relational_url": pair.url, "threads": 2 * WRITERS})


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    home = Home()
    with ExitStack() as stack:
        stack.callback(home.close)
        made = launched(home)
        stack.callback(made.discard)
        yield made


def cut(pair: PostgresPair) -> None:
    """Stop replication to the standby."""
    pair.on(pair.standby, "ALTER SYSTEM SET primary_conninfo = ''")
    pair.on(pair.standby, "SELECT pg_reload_conf()")
    gone = "SELECT count(*) FROM pg_stat_wal_receiver"
    assert wait_until(lambda: pair.on(pair.standby, gone) == (0,), PATIENCE)


def killed(pair: PostgresPair, traffic: Traffic, system: System) -> float:
    pair.primary.kill()
    return promoted(pair, traffic, system)


def frozen(pair: PostgresPair, traffic: Traffic, system: System) -> float:
    """Freeze the primary, promote the standby, and resume the old primary, whose further writes will be lost."""
    pair.primary.pause()
    failed_at = promoted(pair, traffic, system)
    pair.primary.resume()
    stores = system.container.stores
    assert wait_until(lambda: "second primary" in "".join(stores.relational.notes()), PATIENCE)
    return failed_at


def cut_off(pair: PostgresPair, traffic: Traffic, system: System) -> float:
    """Stop replication before the primary is killed: what is acknowledged after that is lost."""
    cut(pair)
    traffic.goes_on(monotonic(), AFTER)
    return killed(pair, traffic, system)


def both(pair: PostgresPair, traffic: Traffic, system: System) -> float:
    """Kill the standby and restart it; then freeze the primary, and promote the standby."""
    pair.standby.kill()
    traffic.goes_on(monotonic())
    pair.standby.restart()
    pair.await_standby()
    return frozen(pair, traffic, system)


def alone(pair: PostgresPair, traffic: Traffic, _system: System) -> float:
    """Kill the only synchronous standby, so that no COMMIT is answered, and restart it."""
    pair.standby.kill()
    traffic.is_refused()
    used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet'"
    assert pair.on(pair.primary, used)[0] <= 4 * WRITERS + 2
    pair.standby.restart()
    return monotonic()


def promoted(pair: PostgresPair, traffic: Traffic, _system: System) -> float:
    """Promote the standby; returns when it accepted writes."""
    traffic.is_refused()
    pair.promote()
    return monotonic()


SYNCHRONOUS: dict[str, Callable[[PostgresPair, Traffic, System], float]] = {
    "primary killed, standby promoted": killed,
    "primary frozen, standby promoted, primary let go": frozen,
    "the only synchronous standby killed, then back": alone,
}
# With asynchronous replication the last acknowledged writes may be lost; they are counted.
ASYNCHRONOUS: dict[str, Callable[[PostgresPair, Traffic, System], float]] = {
    "asynchronous: primary killed, standby promoted": killed,
    "asynchronous: standby killed and back, primary frozen, standby promoted": both,
    "asynchronous: replication cut, primary killed, standby promoted": cut_off,
}
FAULTS = SYNCHRONOUS | ASYNCHRONOUS
AGAIN = "standby promoted, old primary back, process started anew"


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Row]]:
    with rows_of("postgresql", [*FAULTS, AGAIN]) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS)
def test_every_acknowledged_write_exists_or_its_loss_is_counted(
    pair: PostgresPair, rows: dict[str, Row], tmp_path: Path, counted: CountingObserver, fault: str
) -> None:
    with running(settings(pair, tmp_path)) as system:
        if fault in SYNCHRONOUS:
            pair.synchronize()
        with Traffic(system, Deposits()) as traffic:
            counted.reads.clear()
            failed_at = FAULTS[fault](pair, traffic, system)
            traffic.goes_on(failed_at, AFTER)
        row = rows[fault] = traffic.row(failed_at, lost=0 if fault in SYNCHRONOUS else len(traffic.writes))
        # The count may include writes that were not acknowledged.
        assert counted.reads.get("lost_tail", 0) >= row.lost, (counted.reads, row)
        assert row.lost > 0 or FAULTS[fault] is not cut_off


def test_a_restarted_process_does_not_use_the_old_primary(
    pair: PostgresPair, rows: dict[str, Row], tmp_path: Path
) -> None:
    pair.synchronize()
    with running(settings(pair, tmp_path)) as system, Traffic(system, Deposits()) as before:
        killed(pair, before, system)
    pair.primary.restart()
    with running(settings(pair, tmp_path)) as system:
        failed_at = monotonic()
        with Traffic(system, Deposits()) as traffic:
            assert wait_until(lambda: system.container.stores.relational.notes() != [], PATIENCE)
            traffic.goes_on(monotonic(), AFTER)
        rows[AGAIN] = traffic.row(failed_at)
    timelines = [pair.on(server, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][:8] for server in pair[:2]]
    assert timelines == ["00000001", "00000002"]
