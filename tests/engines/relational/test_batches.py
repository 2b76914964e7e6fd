"""Statements that are sent to PostgreSQL in one batch: their order, the first error, and the connection after it."""

import contextlib
import select as sockets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from unittest.mock import patch

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, Engine, MetaData, Table, Text, create_engine, insert, select

from repositories.postgres import batches
from repositories.postgres.batches import Batches
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.errors import is_outdated
from repositories.relational.postgres.positions import commit
from repositories.relational.work import BegunRows, Work, transaction
from tests.contracts.relational_store import new_database
from tests.engines import Shared

THINGS = Table("things", MetaData(), Column("id", BigInteger, primary_key=True), Column("name", Text))
ADD, ALL = insert(THINGS), select(THINGS.c.id).order_by(THINGS.c.id)
Begin = Callable[[], AbstractContextManager[Work]]


@pytest.fixture
def engine(engines: Shared) -> Iterator[Engine]:
    """An engine whose connections have a timeline, as if the server reported positions of its log."""
    url = new_database(engines.postgres())

    def connect() -> BoundedConnection:
        connection = BoundedConnection.connect(url, prepare_threshold=0)
        connection.timeline = 1
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, pool_size=1, max_overflow=0)
    THINGS.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def begin(engine: Engine) -> Begin:
    sender = Batches(engine, is_outdated)

    def end(connection: object, queued: object) -> None:
        assert commit(connection, sender, queued)  # type: ignore[arg-type]  # as `transaction` has them

    return lambda: transaction(engine, sender, contextlib.nullcontext, end)


def stored_ids(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [one for (one,) in connection.execute(ALL)]


def test_queued_statements_run_before_the_next_query(begin: Begin) -> None:
    with begin() as work:
        work.queue(ADD, {"id": 1, "name": "one"})
        work.queue(ADD, [{"id": 2, "name": None}, {"id": 3, "name": "three"}])
        assert [row.id for row in work.rows(ALL, {})] == [1, 2, 3]
        work.queue(ADD, {"id": 4, "name": "four"})
        assert work.change(ADD, [{"id": 5, "name": "five"}, {"id": 6, "name": "six"}]) == 2


def test_queued_changes_and_the_commit_are_one_round_trip(begin: Begin, engine: Engine) -> None:
    with patch("repositories.postgres.batches.send", wraps=batches.send) as sent, begin() as work:
        for number in range(3):
            work.queue(ADD, {"id": number, "name": "-"})
    sent.assert_called_once()
    assert stored_ids(engine) == [0, 1, 2]


def ids(begun: BegunRows) -> list[int]:
    return [one for (one,) in begun.rows()]


def test_rows_of_a_begun_query_arrive_with_the_next_answer(begin: Begin) -> None:
    with patch("repositories.postgres.batches.send", wraps=batches.send) as sent, begin() as work:
        work.queue(ADD, [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}])
        first = work.begin(ALL, {})
        work.queue(ADD, {"id": 3, "name": "three"})
        assert [row.id for row in work.rows(ALL, {})] == [1, 2, 3]
        assert ids(first) == [1, 2]
        sent.assert_called_once()
        asked_for_now = work.begin(ALL, {})
        work.queue(ADD, {"id": 4, "name": "four"})
        assert ids(asked_for_now) == [1, 2, 3]
        with_the_commit = work.begin(ALL, {})
    assert ids(with_the_commit) == [1, 2, 3, 4]


def ask(work: Work) -> None:
    work.rows(ALL, {})


def go_to_the_commit(_: Work) -> None: ...


@pytest.mark.parametrize("then", [ask, go_to_the_commit])
def test_the_first_error_of_a_batch_is_raised_and_nothing_committed(
    begin: Begin, engine: Engine, then: Callable[[Work], None]
) -> None:
    def work_on() -> None:
        with begin() as work:
            for number in (2, 1, 3):
                work.queue(ADD, {"id": number, "name": "again"})
            then(work)

    with begin() as work:
        work.change(ADD, {"id": 1, "name": "one"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        work_on()
    assert stored_ids(engine) == [1]
    with begin() as work:
        work.queue(ADD, {"id": 2, "name": "the connection goes on"})
    assert stored_ids(engine) == [1, 2]


def test_a_rollback_discards_queued_statements(begin: Begin, engine: Engine) -> None:
    with contextlib.suppress(KeyError), begin() as work:
        work.queue(ADD, {"id": 1, "name": "one"})
        raise KeyError
    with begin() as work:
        work.change(ADD, {"id": 2, "name": "two"})
    assert stored_ids(engine) == [2]


def test_a_batch_larger_than_the_socket_buffers_is_sent_and_answered(begin: Begin, engine: Engine) -> None:
    rows = [{"id": number, "name": "x" * 2000} for number in range(3000)]
    with begin() as work:
        assert work.change(ADD, rows) == len(rows)
    assert len(stored_ids(engine)) == len(rows)


def test_a_connection_keeps_no_more_statements_than_psycopg_does(begin: Begin) -> None:
    with begin() as work:
        work.change(ADD, {"id": 1, "name": "one"})
        for number in range(150):
            assert [row.id for row in work.rows(select(THINGS.c.id).limit(number + 1), {})] == [1]
        (kept,) = work.rows(select(THINGS.c.id).where(THINGS.c.id == 1), {})
        with work.connection() as connection:
            prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one()
    assert kept.id == 1
    assert prepared <= psycopg._preparing.PrepareManager.prepared_max + 2


def test_a_server_that_ends_the_connection_says_why(begin: Begin, engine: Engine) -> None:
    def wait_too_long() -> None:
        with begin() as work:
            with work.connection() as connection:
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
                driver = connection.connection.driver_connection
                assert isinstance(driver, BoundedConnection)
                sockets.select([driver.pgconn.socket], [], [], 10)
            work.queue(ADD, {"id": 1, "name": "one"})
            work.rows(ALL, {})

    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        wait_too_long()
    assert stored_ids(engine) == []
