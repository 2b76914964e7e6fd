"""Transactions that lose against concurrent ones are retried, at whatever statement they lose, and at COMMIT.

A single PostgreSQL server rarely reports that (40001); a distributed database with its dialect can do so at any time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any, LiteralString
from unittest.mock import patch

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event

from config import Settings
from repositories.relational.postgres.positions import commit
from repositories.relational.statement_runner import ATTEMPTS
from tests.apps import ROLES, embedded, running
from tests.engines import Shared
from tests.http.drives import DRIVES, Route
from tests.http.test_budgets import send
from tests.http.world import ShiftedClock, World
from tests.system.real import real_urls

LOST = "DO $$ BEGIN RAISE EXCEPTION 'restart transaction' USING ERRCODE = 'serialization_failure'; END $$"
# A deferred trigger, which makes a COMMIT fail after an insert.
LATE = """
CREATE TABLE late (number integer);
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'restart transaction' USING ERRCODE = 'serialization_failure'; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION lose()
"""
# The share of failures among the statements of the relay and the sweeper.
SHARE = 0.1
# Without readiness, whose statement cannot lose.
ROUTES = [route for route in DRIVES if route != ("GET", "/health/ready")]


class FailingStatements:
    """Lets PostgreSQL refuse statements and COMMITs for whose number a function returns true."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.refused = 0
        self._loses: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._commit)
        try:
            with patch("repositories.relational.postgres.store.commit", self._commit_and_tell):
                yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._statement)
            event.remove(Engine, "commit", self._commit)

    @contextmanager
    def when(self, loses: Any) -> Iterator[None]:
        self.sent, self.refused, self._loses = [], 0, loses
        yield
        self._loses = None

    def _statement(self, _connection: object, cursor: Any, sql: str, *_: object) -> None:
        if isinstance(cursor, psycopg.Cursor):
            self._pass(cursor, sql)

    def _commit_and_tell(self, connection: Connection, *waiting: Any) -> str | None:
        self._commit(connection)
        return commit(connection, *waiting)

    def _commit(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        # SQLAlchemy also commits after the driver has committed.
        if isinstance(driver, psycopg.Connection) and driver.info.transaction_status != TransactionStatus.IDLE:
            with driver.cursor() as cursor:
                self._pass(cursor, "COMMIT", "INSERT INTO late VALUES (1)")

    def _pass(self, cursor: psycopg.Cursor[Any], sql: str, lose: LiteralString = LOST) -> None:
        if self._loses is None:
            return
        self.sent.append(sql)
        if self._loses(len(self.sent)):
            self.refused += 1
            cursor.execute(lose)


@pytest.fixture(scope="module")
def losing() -> Iterator[FailingStatements]:
    losing = FailingStatements()
    with losing.listening():
        yield losing


@pytest.fixture(scope="module")
def world(engines: Shared, losing: FailingStatements, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    urls = embedded(tmp_path_factory.mktemp("restarts")) | real_urls(engines, "restarts", ("relational",))
    with psycopg.connect(urls["relational_url"], autocommit=True) as connection:
        connection.execute(LATE)
    slow: dict[str, Any] = {f"{role}_timeout": 10.0 for role in ROLES}
    clock = ShiftedClock()
    # Each request for mail counts as a failed sign-in of its address, and here it is sent again for each statement.
    with running(Settings(**urls, **slow, address_login_failures=0), clock) as system:
        world = World(system, clock, real=True)
        for person in world.people(1):
            person.rich()
        yield world


def answered(world: World, losing: FailingStatements, route: Route, at: int) -> int:
    """The status of the answer if the statement or COMMIT number `at` loses; 0: none."""
    call = DRIVES[route](world, 1)
    with losing.when(lambda number: number == at):
        return send(route[0], call).status_code


@pytest.mark.parametrize("route", [route for route in ROUTES if route[0] != "GET"], ids=" ".join)
def test_a_command_is_retried_after_a_lost_transaction(world: World, losing: FailingStatements, route: Route) -> None:
    """The first COMMIT loses, and for each route one other statement; the long form tries all."""
    call = DRIVES[route](world, 1)
    at = len(" ".join(route)) % 8 + 1
    commits = 0

    def loses(number: int) -> bool:
        nonlocal commits
        commits += losing.sent[-1] == "COMMIT"
        return number == at or (commits == 1 and losing.sent[-1] == "COMMIT")

    with losing.when(loses):
        send(route[0], call)
    assert losing.refused or not commits


@pytest.mark.parametrize("path", ["/posts", "/orders", "/accounts/<handle:handle>"])
def test_a_query_is_answered_when_only_its_last_attempt_succeeds(
    world: World, losing: FailingStatements, path: str
) -> None:
    call = DRIVES["GET", path](world, 1)
    with losing.when(lambda _: losing.refused < ATTEMPTS - 1):
        send("GET", call)
    assert losing.refused == ATTEMPTS - 1


@pytest.mark.proof
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_request_is_answered_whichever_statement_loses(world: World, losing: FailingStatements, route: Route) -> None:
    status = answered(world, losing, route, 0)
    for at in range(1, len(losing.sent) + 1):
        assert answered(world, losing, route, at) == status


def test_the_relay_and_the_sweeper_complete_work_that_lost(world: World, losing: FailingStatements) -> None:
    random = Random(7)  # noqa: S311  no secret
    store = world.system.container.stores.relational
    world.order(paid=True)
    world.order(others=1)
    rounds = 0
    with losing.when(lambda _: random.random() < SHARE):
        while store.outbox.backlog().unsent and rounds < 100:
            rounds += 1
            world.clock.ahead += timedelta(minutes=1)
            world.system.sweeper.sweep()
            world.drained()
    assert losing.refused > 0
    assert store.outbox.backlog().unsent == 0
    assert store.outbox.dead_letters(limit=9) == []
    assert list(store.audit.ledger()) == []
