"""Two servers and a relay on one PostgreSQL, with clocks that are hours apart, all killed at random moments.

No command is lost or executed twice, no stored time comes from their clocks, and answers about the past never change.

Its short forms are `tests/http/test_two_clocks.py` (one process) and `test_bank.py` (one clock).
"""

import logging
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, create_engine, delete, func, select

from repositories.relational.schema import money_tables as money
from repositories.relational.schema import order_tables
from repositories.relational.schema.columns import TIME
from tests.contracts.relational_store import new_database
from tests.engines import Reachable, Shared
from tests.engines.kernel import wait_until
from tests.system.live import ROOT, Live, run
from tests.system.money.bank import PAUSE, start_all
from tests.system.money.trader import AcknowledgedCommand, Trader

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.proof, pytest.mark.engines, pytest.mark.live, pytest.mark.timeout(1800)]

AHEAD, BEHIND = timedelta(hours=3), timedelta(hours=-3)
TRADERS = 6
KILLS = 4 * int(os.environ.get("QUARTET_KILLS", "3"))
FAR = timedelta(days=1000)
# The longest that a stored time is in the future: the patience of an order.
SOON = timedelta(minutes=16)
CLOCK = """
import time
from datetime import timedelta
from app import clock

off, real, now = {seconds}, time.time, clock.utc_now
time.time = lambda: real() + off
clock.utc_now = lambda: now() + timedelta(seconds=off)
"""


class ServersWithWrongClocks:
    """Two servers, one with a clock ahead and one behind, and a relay. `servers` are the running ones."""

    def __init__(self, folder: Path, settings: dict[str, str], stack: ExitStack) -> None:
        self._folder, self._settings, self._stack = folder, settings, stack
        self._all = [self._start(0), self._start(1), self._start(2)]
        self.servers = [one.answering() for one in self._all[:2]]

    def kill(self, turn: int) -> None:
        """Kill and restart one of the three; the third is the relay, whose clock is ahead or behind."""
        self._all[turn].kill()
        self._all[turn] = self._start(turn)
        if turn < len(self.servers):
            self.servers[turn] = self._all[turn].answering()

    def _start(self, turn: int) -> Live:
        off = random.choice([AHEAD, BEHIND]) if turn == 2 else (AHEAD, BEHIND)[turn]  # noqa: S311 - no secret
        clocks = self._folder / f"clock{off.total_seconds():.0f}"
        clocks.mkdir(exist_ok=True)
        (clocks / "sitecustomize.py").write_text(CLOCK.format(seconds=off.total_seconds()))
        command = "relay" if turn == 2 else "serve"
        live = Live(self._folder, command, tree=f"{clocks}{os.pathsep}{ROOT}", **self._settings)
        self._stack.callback(live.close)
        return live


@pytest.fixture
def settings(engines: Shared) -> dict[str, str]:
    server: Reachable = engines.postgres()
    return {"RELATIONAL_URL": new_database(server), "RELAY": "external", "POST_LIMIT": "0"}


@pytest.fixture
def database(settings: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Runs a statement in its own transaction, and returns its rows."""
    engine = create_engine(settings["RELATIONAL_URL"].replace("postgresql://", "postgresql+psycopg://"))

    def rows(statement: Any) -> Any:
        with engine.begin() as connection:
            found = connection.execute(statement)
            return found.all() if found.returns_rows else ()

    yield rows
    engine.dispose()


def test_nothing_is_lost_duplicated_or_misdated(
    settings: dict[str, str], database: Callable[..., Any], tmp_path: Path
) -> None:
    assert run(tmp_path, "migrate", **settings).returncode == 0

    def now() -> datetime:
        (row,) = database(select(func.clock_timestamp()))
        return datetime.fromisoformat(row[0].isoformat())

    began = now()
    with ExitStack() as stack:
        both = ServersWithWrongClocks(tmp_path, settings, stack)
        for server, off in zip(both.servers, (AHEAD, BEHIND), strict=True):
            at = datetime.fromisoformat(server.person().ask("GET", "/accounts/me")["account"]["created_at"])
            assert abs(at - now() - off) < timedelta(hours=1), "the server's clock must be off by three hours"
        traders = [Trader(both.servers, seed) for seed in range(TRADERS)]
        for trader in traders:
            stack.callback(trader.close)
        _at_work(both, traders, lambda: now().isoformat())
        assert wait_until(
            lambda: not database(select(order_tables.orders.c.id).where(order_tables.orders.c.due_at.is_not(None))), 60
        )
        seen = sum((one.seen for one in traders), Counter[str]())
        log.info("%d kills; %s", KILLS, dict(sorted(seen.items())))
        assert seen["resolved"] > 0, "no kill left a request without an answer"
        assert [path for one in traders for path in one.asked_again()] == []
        assert _doctor_finds_nothing(tmp_path, settings)
        done = [one for trader in traders for one in trader.done]
        _assert_once(database, done)
        _assert_times(database, began, now() + SOON)
        before = _counts(database)
        database(delete(money.request_keys))
        for trader in traders:
            for one in trader.done:
                _assert_spent(trader, one)
        assert (_counts(database), _doctor_finds_nothing(tmp_path, settings)) == (before, True)


def _at_work(both: ServersWithWrongClocks, traders: list[Trader], now: Callable[[], str]) -> None:
    stop, wrong = threading.Event(), list[Any]()
    jobs: list[Callable[[], None]] = [
        partial(one.work, [other for other in traders if other is not one], now, stop) for one in traders
    ]
    threads = start_all(jobs, wrong)
    draw = random.Random(17)  # noqa: S311 - no secret
    for _ in range(KILLS):
        PAUSE.wait(draw.uniform(0.5, 3))
        both.kill(draw.randrange(3))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def _doctor_finds_nothing(folder: Path, settings: dict[str, str]) -> bool:
    told = [run(folder, "doctor", book, **settings) for book in ("ledger", "provider")]
    return [one.stdout for one in told if one.returncode] == []


def _assert_once(database: Callable[..., Any], done: list[AcknowledgedCommand]) -> None:
    """Check that exactly the acknowledged commands are in the database."""
    by = {
        name: sorted(UUID(one.id) for one in done if one.path.endswith(name))
        for name in ("transfers", "deposits", "payouts", "orders", "refunds", "shipments")
    }
    moved = select(money.transfers.c.id)
    for kind, name in (("transfer", "transfers"), ("deposit", "deposits"), ("payout", "payouts")):
        its = moved.where(money.transfers.c.kind == kind, money.transfers.c.phase.in_(("single", "hold")))
        assert sorted(row.id for row in database(its)) == by[name]
        assert by[name]
    assert sorted(row.id for row in database(select(order_tables.orders.c.id))) == by["orders"]
    ended = {row[0] for row in database(select(order_tables.sub_orders.c.ended_by))}
    assert sorted(row.id for row in database(select(order_tables.refunds.c.id)) if row.id not in ended) == by["refunds"]
    sent = [row.id for row in database(select(order_tables.shipments.c.id))]
    assert set(by["shipments"]) <= set(sent)
    assert len(sent) == len(by["shipments"]) + sum(one.path.endswith("/fulfil") for one in done)
    told = Counter(one.path for one in done if one.path.endswith(("/cancel", "/refuse")))
    cancelled = (
        select(order_tables.sub_orders.c.order_id).where(order_tables.sub_orders.c.state == "cancelled").distinct()
    )
    refused = select(order_tables.sub_orders.c.order_id).where(order_tables.sub_orders.c.state == "refused")
    assert Counter(path.split("/")[2] for path in told.elements() if path.endswith("/cancel")) == Counter(
        str(row.order_id) for row in database(cancelled)
    )
    assert Counter(path.split("/")[2] for path in told.elements() if path.endswith("/refuse")) == Counter(
        str(row.order_id) for row in database(refused)
    )


def _assert_times(database: Callable[..., Any], began: datetime, ends: datetime) -> None:
    tables = [one for one in (*vars(money).values(), *vars(order_tables).values()) if isinstance(one, Table)]
    for column in (column for table in tables for column in table.c if column.type is TIME):
        if column is not money.ledger_accounts.c.last_at:
            # Later times are the end of a payout's hold, which stands for "never".
            ((first, last),) = database(select(func.min(column), func.max(column)).where(column < began + FAR))
            assert first is None or began <= first <= last <= ends, column
    its = money.entries.c
    before = func.lag(its.at).over(partition_by=(its.owner, its.currency), order_by=its.sequence)
    steps = select((its.at - before).label("step")).subquery()
    assert database(select(steps).where(steps.c.step <= timedelta())) == []


def _counts(database: Callable[..., Any]) -> list[int]:
    tables = (
        money.transfers,
        money.entries,
        order_tables.orders,
        order_tables.refunds,
        order_tables.shipments,
        order_tables.shipment_lines,
    )
    return [database(select(func.count()).select_from(one))[0][0] for one in tables]


def _assert_spent(trader: Trader, one: AcknowledgedCommand) -> None:
    """Check that a key whose answer has expired finds what it has made, and is refused with another body."""
    again = trader.resolved("POST", one.path, one.body, one.key)
    assert (again.status < 300, again.headers.get("idempotent-replayed")) == (True, "true"), (one, again)
    assert again.body["id"] == one.id
    if one.other is not None:
        other = trader.resolved("POST", one.path, one.other, one.key)
        assert (other.status, other.body["code"]) == (409, "idempotency_key_spent"), (one, other)
