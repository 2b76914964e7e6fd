"""Sends statements together, in one round trip, bypassing psycopg's cursors.

A cursor costs the client more than sending and receiving a prepared statement does, and each round trip costs both
sides a context switch. So calls are passed to libpq here, in its pipeline mode if there are several: BEGIN with the
first statement of a transaction, queued changes with the next statement or with COMMIT. The server runs them in order
and stops at the first that fails, whose error is raised.

A connection's prepared statements are kept in psycopg's own list, so that a cursor on it knows them as well.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import generators
from psycopg._preparing import Prepare
from psycopg._queries import _query2pg_nocache
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, TransactionStatus

from repositories.driver_statements import Call, Direct
from repositories.postgres.deadline import BoundedConnection

R = TypeVar("R")
_ENCODING = "utf-8"


class _NativeStatement(NamedTuple):
    """A statement in the server's syntax. `order` has the names of its parameters."""

    query: bytes
    formats: Any
    order: Sequence[str]


class Prepared(NamedTuple):
    """A statement that can be sent, in the form that psycopg's list of prepared statements takes."""

    query: bytes
    types: tuple[int, ...] = ()
    params: Any = None
    formats: Any = None


_COMMIT = Prepared(b"COMMIT")


class LastResult:
    """A result, with the part of a cursor's interface that is used here."""

    __slots__ = ("_result", "_transformer")

    def __init__(self, result: Any, transformer: Any) -> None:
        self._result = result
        self._transformer = transformer

    @property
    def rowcount(self) -> int:
        return int(self._result.command_tuples or 0)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows. Call it before the connection is used again."""
        self._transformer.set_pgresult(self._result)
        return self._transformer.load_rows(0, self._result.ntuples, tuple)  # type: ignore[no-any-return]  # of psycopg


class Summed(NamedTuple):
    """The result of a call with many rows."""

    rowcount: int


class Batches(Direct):
    """For connections that keep their prepared statements: not behind a pooler."""

    sends_together = True

    def _send(self, connection: Any, calls: Sequence[Call], read: Callable[[Any], R]) -> R:
        driver: BoundedConnection = connection.driver_connection
        results = send(driver, self._statements(driver, calls))
        _deliver_rows(driver, calls, results)
        last = calls[-1]
        if last.many:
            return read(Summed(sum(result.command_tuples or 0 for result in results[-len(last.values) :])))
        return read(LastResult(results[-1], _transformer(driver)))

    def commit(self, driver: BoundedConnection, calls: Sequence[Call], then: bytes) -> list[tuple[Any, ...]]:
        """Send the calls, COMMIT, and a query that runs after the commit, together. Returns the rows of the query."""
        results = send(driver, [*self._statements(driver, calls), _COMMIT, Prepared(then)])
        _deliver_rows(driver, calls, results)
        return LastResult(results[-1], _transformer(driver)).fetchall()

    def _statements(self, driver: BoundedConnection, calls: Sequence[Call]) -> list[Prepared]:
        made: list[Prepared] = []
        transformer = _transformer(driver)
        for call in calls:
            parameters = call.parameters()
            if self._engine.dispatch.before_cursor_execute:
                self._tell(driver.cursor(), call, parameters)
            text = _converted(call.plan.text)
            for values in parameters if call.many else (parameters,):
                dumped = transformer.dump_sequence([values[name] for name in text.order], text.formats)
                made.append(Prepared(text.query, transformer.types or (), dumped, transformer.formats))
        return made


def _deliver_rows(driver: BoundedConnection, calls: Sequence[Call], results: Sequence[Any]) -> None:
    at = 0
    for call in calls:
        if call.answer:
            call.answer(call.plan.rows(LastResult(results[at], _transformer(driver))))
        at += len(call.values) if call.many else 1


def send(driver: BoundedConnection, statements: Sequence[Prepared]) -> list[Any]:
    """Send statements, in one transaction unless the connection autocommits. Returns a result for each.

    Raises the first error.
    """
    if driver.closed:
        raise psycopg.OperationalError("the connection is closed")
    with driver.lock:
        if len(statements) == 1 and not _needs_begin(driver):
            prepare, name = driver._prepared.get(statements[0])  # type: ignore[arg-type]  # noqa: SLF001
            if prepare is Prepare.YES:
                return _send_prepared(driver, statements[0], name)
        return _send_pipeline(driver, statements)


@cache
def _converted(text: str) -> _NativeStatement:
    """Cached, since statements are constants."""
    query, formats, order, _ = _query2pg_nocache(text.encode(_ENCODING), _ENCODING)
    return _NativeStatement(query, formats or (), order or ())


def _transformer(driver: BoundedConnection) -> Any:
    if driver.transformer is None:
        driver.transformer = Transformer(driver)
    return driver.transformer


def _needs_begin(driver: BoundedConnection) -> bool:
    return not driver.autocommit and driver.pgconn.transaction_status == TransactionStatus.IDLE


def _send_prepared(driver: BoundedConnection, statement: Prepared, name: bytes) -> list[Any]:
    driver.pgconn.send_query_prepared(name, statement.params, param_formats=statement.formats)
    driver._prepared.maybe_add_to_cache(statement, Prepare.YES, name)  # type: ignore[arg-type]  # noqa: SLF001
    results = driver.wait(generators.execute(driver.pgconn))
    if refused := _refused(results):
        raise refused
    return list(results)


def _send_pipeline(driver: BoundedConnection, statements: Sequence[Prepared]) -> list[Any]:
    pgconn, prepared = driver.pgconn, driver._prepared  # noqa: SLF001
    if prepared._to_flush:  # noqa: SLF001
        driver.wait(prepared.maintain_gen(driver))
    # The indexes of the statements' results, and for each newly prepared statement the index of its result.
    own: list[int] = []
    new: list[tuple[int, Any, Prepare, bytes]] = []
    number = 0
    pgconn.enter_pipeline_mode()
    if _needs_begin(driver):
        pgconn.send_query_params(driver._get_tx_start_command(), None)  # noqa: SLF001
        number += 1
    for statement in statements:
        prepare, name = prepared.get(statement, False if statement is _COMMIT else None)  # type: ignore[arg-type]
        if prepare is Prepare.NO:
            pgconn.send_query_params(statement.query, None)
        else:
            if prepare is Prepare.SHOULD:
                pgconn.send_prepare(name, statement.query, param_types=statement.types)
                number += 1
            if key := prepared.maybe_add_to_cache(statement, prepare, name):  # type: ignore[arg-type]
                new.append((number, key, prepare, name))
            pgconn.send_query_prepared(name, statement.params, param_formats=statement.formats)
        own.append(number)
        number += 1
    pgconn.pipeline_sync()
    results = driver.wait(_results(pgconn, number))
    refused = _refused(results)
    if not driver.closed:
        pgconn.exit_pipeline_mode()
    for at, key, prepare, name in new:
        prepared.validate(key, prepare, name, results[at : at + 1])
    if refused:
        raise refused
    return [results[at] for at in own]


def _results(pgconn: Any, number: int) -> PQGen[list[Any]]:
    """The results of `number` commands, and that of the pipeline's end."""
    yield from generators.send(pgconn)
    results: list[Any] = []
    for _ in range(number + 1):
        try:
            results += yield from generators.fetch_many(pgconn)
        except psycopg.DatabaseError:
            # An error result says why the server ended the connection.
            if not _refused(results):
                raise
            break
    return results


def _refused(results: Sequence[Any]) -> psycopg.Error | None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            return psycopg.errors.error_from_result(result, encoding=_ENCODING)
    return None
