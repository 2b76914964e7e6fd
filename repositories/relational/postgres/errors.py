"""Translates the errors of PostgreSQL and psycopg into those of the port."""

import psycopg
from sqlalchemy.exc import SQLAlchemyError, StatementError

from repositories.errors import Conflict, Contention, Inconsistent, Invalid, NotFound, ReadOnly, StoreError, Unavailable
from repositories.relational.postgres.hosts import NotWritable
from repositories.relational.statement_runner import Outdated, Translation

ROLE = "relational"

_FIELDS = {
    "accounts_pkey": "id",
    "accounts_handle_key": "handle",
    "logins_pkey": "id",
    "logins_email_key": "email",
    "outbox_id": "id",
    "orders_pkey": "id",
    "refunds_pkey": "id",
    "reservations_pkey": "id",
    "shipments_pkey": "id",
}
# What only rows that were altered can violate: every command changes them behind a lock and a condition of its own.
_INVARIANTS = {
    *("entries_pkey", "entries_legs", "open_holds_pkey", "transfers_hold", "transfers_debited", "transfers_credited"),
    *("ledger_accounts_held_check", "ledger_accounts_check"),
    *("stock_check", "stock_on_hand_check", "stock_sold_check", "reservations_check"),
}
_SERIALIZATION, _DEADLOCK, _LOCK_TIMEOUT = "40001", "40P01", "55P03"
_UNIQUE, _FOREIGN_KEY, _CHECK, _NOT_NULL = "23505", "23503", "23514", "23502"
_DATA = "22"
_READ_ONLY = "25006"
_NOT_SUPPORTED, _NO_SUCH_STATEMENT = "0A000", "26000"
_OUTDATED_PLAN = "cached plan must not change result type"


def translated() -> Translation:
    return _TRANSLATION


def is_outdated(error: BaseException) -> bool:
    """Whether the statement changed nothing, and fails on this connection only: its prepared form is out of date, or
    the server has become read-only.
    """
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return state in (_NO_SUCH_STATEMENT, _READ_ONLY) or (state == _NOT_SUPPORTED and _OUTDATED_PLAN in str(error))


def _translate(error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, NotWritable):
        return ReadOnly(ROLE, str(cause))
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        return _by_state(cause, cause.sqlstate)
    if isinstance(cause, ValueError | OverflowError | psycopg.DataError):
        return Invalid(str(cause))
    return Unavailable(ROLE, str(cause))


def _by_state(cause: psycopg.Error, state: str) -> StoreError:
    if is_outdated(cause):
        return Outdated(str(cause))
    if state in (_SERIALIZATION, _DEADLOCK, _LOCK_TIMEOUT):
        return Contention(str(cause))
    if state == _UNIQUE:
        field = _FIELDS.get(cause.diag.constraint_name or "")
        return Conflict(field) if field else _kind(cause, Contention)
    if state == _FOREIGN_KEY:
        return _kind(cause, NotFound)
    if state in (_CHECK, _NOT_NULL) or state.startswith(_DATA):
        return _kind(cause, Invalid)
    return Unavailable(ROLE, str(cause))


def _kind(cause: psycopg.Error, usual: type[StoreError]) -> StoreError:
    return (Inconsistent if cause.diag.constraint_name in _INVARIANTS else usual)(str(cause))


_TRANSLATION = Translation((SQLAlchemyError, psycopg.Error, UnicodeEncodeError, OverflowError), _translate)
