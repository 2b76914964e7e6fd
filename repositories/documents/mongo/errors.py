"""Translates the errors of MongoDB's driver to those of the ports."""

from collections.abc import Mapping

from pymongo.errors import DocumentTooLarge, DuplicateKeyError, NotPrimaryError, OperationFailure, PyMongoError

from repositories.errors import Conflict, Contention, Invalid, MovedAway, ReadOnly, StoreError, Unavailable

ROLE = "documents"
DOCUMENT_REFUSED = 121
DOCUMENT_TOO_LARGE = 10334
# A field in the validator of a place that refuses writes. The server's error names the condition that failed.
REFUSES_ALL = "quartet_moved"
LOST_RACES = {24, 112, 246}  # LockTimeout, WriteConflict, SnapshotUnavailable
NO_PRIMARY = {10107, 13435}  # NotWritablePrimary, NotPrimaryNoSecondaryOk
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
# Also set by a router when documents have just moved to another shard.
AGAIN = "TransientTransactionError"


class Demoted(ReadOnly):
    """The member that was asked is no longer the primary, and has not executed any part of the command."""


def lost_race(error: Exception) -> bool:
    return isinstance(error, OperationFailure) and (error.code in LOST_RACES or error.has_error_label(AGAIN))


def is_locked(error: PyMongoError) -> bool:
    """Whether a write outside of transactions failed because a transaction has locked the document."""
    return error.timeout or getattr(error, "code", None) in LOST_RACES


def _did_nothing(error: NotPrimaryError) -> bool:
    """Whether the command was refused without effect. False if that is unknown: after an interruption or a commit."""
    details = error.details if isinstance(error.details, Mapping) else {}
    return details.get("code") in NO_PRIMARY and not error.has_error_label(UNKNOWN_COMMIT)


def translated(error: Exception) -> StoreError:  # noqa: PLR0911  one line for each kind
    """The port's error for an error of the driver."""
    code = getattr(error, "code", None)
    if isinstance(error, DuplicateKeyError):
        return Conflict("id")
    if refuses_all(error):
        return MovedAway(ROLE, "this role has moved to another place")
    if lost_race(error):
        return Contention(str(error))
    if code in {DOCUMENT_REFUSED, DOCUMENT_TOO_LARGE} or isinstance(error, DocumentTooLarge):
        return Invalid(str(error))
    if isinstance(error, NotPrimaryError) and _did_nothing(error):
        return Demoted(ROLE, str(error))
    if isinstance(error, PyMongoError):
        return Unavailable(ROLE, f"{type(error).__name__}: {error}")
    return Invalid(str(error))


def refuses_all(error: Exception) -> bool:
    """Whether the place refuses writes. A bulk write has this error for each of its documents."""
    return isinstance(error, OperationFailure) and REFUSES_ALL in str(error.details)
