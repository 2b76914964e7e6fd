"""Translates the errors of PostgreSQL and psycopg into those of the ports."""

from collections.abc import Collection, Mapping

import psycopg
from sqlalchemy.exc import SQLAlchemyError, StatementError

from repositories.errors import (
    Conflict,
    Contention,
    Inconsistent,
    Invalid,
    MovedAway,
    NotFound,
    ReadOnly,
    StoreError,
    Unavailable,
)
from repositories.moving.postgres import MOVED
from repositories.postgres.hosts import NotWritable
from repositories.translation import Outdated, Translation, Undone

# A serialization failure, a deadlock, a lock timeout.
_LOST = {"40001": Undone, "40P01": Undone, "55P03": Contention}
_UNIQUE, _FOREIGN_KEY, _CHECK, _NOT_NULL = "23505", "23503", "23514", "23502"
_DATA = "22"
_READ_ONLY = "25006"
_NOT_SUPPORTED, _NO_SUCH_STATEMENT = "0A000", "26000"
_OUTDATED_PLAN = "cached plan must not change result type"


def translation(role: str, *, fields: Mapping[str, str], invariants: Collection[str] = ()) -> Translation:
    """`fields` maps a role's unique constraints to the field of the `Conflict`. Only tampered rows can violate the
    constraints `invariants`.
    """
    return Translation(
        (SQLAlchemyError, psycopg.Error, UnicodeEncodeError, OverflowError), _Translator(role, fields, invariants)
    )


def is_outdated(error: BaseException) -> bool:
    """Whether the statement changed nothing, and fails on this connection only: its prepared form is out of date, or
    the server has become read-only.
    """
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return state in (_NO_SUCH_STATEMENT, _READ_ONLY) or (state == _NOT_SUPPORTED and _OUTDATED_PLAN in str(error))


class _Translator:
    def __init__(self, role: str, fields: Mapping[str, str], invariants: Collection[str]) -> None:
        self._role = role
        self._fields = fields
        self._invariants = invariants

    def __call__(self, error: Exception) -> StoreError:
        cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
        if isinstance(cause, NotWritable):
            return ReadOnly(self._role, str(cause))
        if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
            return self._by_state(cause, cause.sqlstate)
        if isinstance(cause, ValueError | OverflowError | psycopg.DataError):
            return Invalid(str(cause))
        return Unavailable(self._role, str(cause))

    def _by_state(self, cause: psycopg.Error, state: str) -> StoreError:
        if is_outdated(cause):
            return Outdated(str(cause))
        if state in _LOST:
            return _LOST[state](str(cause))
        if state == _UNIQUE:
            field = self._fields.get(cause.diag.constraint_name or "")
            return Conflict(field) if field else self._kind(cause, Contention)
        if state == _FOREIGN_KEY:
            return self._kind(cause, NotFound)
        if state in (_CHECK, _NOT_NULL) or state.startswith(_DATA):
            return self._kind(cause, Invalid)
        return (MovedAway if state == MOVED else Unavailable)(self._role, str(cause))

    def _kind(self, cause: psycopg.Error, usual: type[StoreError]) -> StoreError:
        return (Inconsistent if cause.diag.constraint_name in self._invariants else usual)(str(cause))
