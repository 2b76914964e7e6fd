"""Translates the errors of SQLite and SQLAlchemy into those of the port."""

import sqlite3

from sqlalchemy.exc import SQLAlchemyError, StatementError

from repositories.errors import (
    Conflict,
    Contention,
    Inconsistent,
    Invalid,
    MovedAway,
    NotFound,
    StoreError,
    Unavailable,
)
from repositories.moving.gate import REFUSAL
from repositories.relational.schema.money_tables import SOLVENT
from repositories.relational.schema.tables import RESERVED
from repositories.translation import Translation

ROLE = "relational"

_FIELDS = {
    "accounts.id": "id",
    "accounts.handle_key": "handle",
    "logins.account_id": "id",
    "logins.email_key": "email",
    "outbox.id": "id",
    "orders.id": "id",
    "refunds.id": "id",
    "shipments.id": "id",
    "reservations.order_id, reservations.product_id": "id",
}
# Constraints that only tampered rows can violate, in SQLite's words. SQLite does not name a violated foreign key.
_INVARIANTS = {
    *("entries.owner, entries.currency, entries.sequence", "entries.transfer_id, entries.owner"),
    *("open_holds.id", "transfers.hold_id", "held >= 0", SOLVENT, RESERVED),
    *("on_hand >= 0", "sold >= 0", "returned BETWEEN 0 AND quantity"),
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRIMARY_CODE = 0xFF


def translated() -> Translation:
    return _TRANSLATION


def _translate(error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, ValueError | OverflowError | sqlite3.DataError):
        return Invalid(str(cause))
    if isinstance(cause, sqlite3.IntegrityError):
        return _broken_rule(cause)
    if getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE in _BUSY:
        return Contention(str(cause))
    return Unavailable(ROLE, str(cause))


def _broken_rule(cause: BaseException) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", 0)
    if str(cause) == REFUSAL:
        return MovedAway(ROLE, REFUSAL)
    if str(cause).partition(": ")[2] in _INVARIANTS:
        return Inconsistent(str(cause))
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound(str(cause))
    if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        field = _FIELDS.get(str(cause).rpartition(": ")[2])
        return Conflict(field) if field else Contention(str(cause))
    return Invalid(str(cause))


_TRANSLATION = Translation((SQLAlchemyError, sqlite3.Error, UnicodeEncodeError, OverflowError), _translate)
